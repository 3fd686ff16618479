#include <string.h>

#include "netdef/message.h"
#include "netdef/wiring.h"

static bool has_stage(const Caffe__NetParameter *net, const struct netdef_options *options, const char *stage)
{
    for (int i = 0; i < options->n_stages; i++) {
        if (strcmp(options->stages[i], stage) == 0)
            return true;
    }
    for (size_t i = 0; net->state && i < net->state->n_stage; i++) {
        if (strcmp(net->state->stage[i], stage) == 0)
            return true;
    }
    return false;
}

static bool meets(const Caffe__NetParameter *net, const struct netdef_options *options,
                  const Caffe__NetStateRule *rule)
{
    if (rule->has_phase && rule->phase != options->phase)
        return false;
    if (rule->has_min_level && options->level < rule->min_level)
        return false;
    if (rule->has_max_level && options->level > rule->max_level)
        return false;
    for (size_t i = 0; i < rule->n_stage; i++) {
        if (!has_stage(net, options, rule->stage[i]))
            return false;
    }
    for (size_t i = 0; i < rule->n_not_stage; i++) {
        if (has_stage(net, options, rule->not_stage[i]))
            return false;
    }
    return true;
}

static bool meets_any(const Caffe__NetParameter *net, const struct netdef_options *options,
                      Caffe__NetStateRule *const *rules, size_t n_rules)
{
    for (size_t i = 0; i < n_rules; i++) {
        if (meets(net, options, rules[i]))
            return true;
    }
    return false;
}

enum status layer_kept(const Caffe__NetParameter *net, const Caffe__LayerParameter *layer,
                       const struct netdef_options *options, bool *ret_kept, struct error *err)
{
    if (layer->n_include && layer->n_exclude)
        return error_set(err, INVALID, "layer '%s': give include or exclude rules, not both",
                         text_or_empty(layer->name));
    *ret_kept = layer->n_include ? meets_any(net, options, layer->include, layer->n_include)
                                 : !meets_any(net, options, layer->exclude, layer->n_exclude);
    return OK;
}

enum status layers_filter(const Caffe__NetParameter *net, const struct netdef_options *options,
                          Caffe__NetParameter **ret_net, struct error *err)
{
    CLEANUP(message_freep) ProtobufCMessage *made = message_make(&caffe__net_parameter__descriptor);
    Caffe__NetParameter *kept = (Caffe__NetParameter *)made;
    if (net->name)
        kept->name = xstrdup(net->name);
    for (size_t i = 0; i < net->n_layer; i++) {
        bool is_kept = true;
        TRY(problems_note(options->problems, layer_kept(net, net->layer[i], options, &is_kept, err), err));
        if (!is_kept)
            continue;
        Caffe__LayerParameter without_blobs = *net->layer[i];
        without_blobs.n_blobs = 0;
        list_add(&kept->n_layer, &kept->layer, message_dup(&without_blobs.base));
    }
    *ret_net = kept;
    made = NULL;
    return OK;
}
