#include <stdio.h>
#include <string.h>

#include "engine/solvers/rule.h"

/* In the order of Caffe's SolverType. */
static const struct rule *const rules[] = {
    &rule_sgd, &rule_nesterov, &rule_adagrad, &rule_rmsprop, &rule_adadelta, &rule_adam,
};

enum status rule_find(const Caffe__SolverParameter *param, const struct rule **ret_rule, struct error *err)
{
    bool has_type = param->type && param->type != caffe__solver_parameter__type__default_value;
    if (param->has_solver_type) {
        if (has_type)
            return error_set(err, INVALID, "solver has both 'type' and the older 'solver_type'; keep 'type'");
        if ((size_t)param->solver_type >= ARRAY_SIZE(rules))
            return error_set(err, INVALID, "solver_type %d is not known", (int)param->solver_type);
        *ret_rule = rules[param->solver_type];
        return OK;
    }
    const char *type = has_type ? param->type : "SGD";
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        if (!strcmp(rules[i]->type, type)) {
            *ret_rule = rules[i];
            return OK;
        }
    char known[128];
    int n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        n += snprintf(known + n, sizeof(known) - (size_t)n, "%s%s", i ? ", " : "", rules[i]->type);
    return error_set(err, INVALID, "solver type '%s' is not known; known are %s", type, known);
}
