#include "store/store.h"

#include <string.h>

struct state_words {
    const char *contract, *exact;
};
static const struct state_words state_words[] = {
    [STATE_NONE] = {"", ""},
    [STATE_WAITING] = {"pending", "waiting"},
    [STATE_READY] = {"pending", "ready"},
    [STATE_PROCESSING] = {"processing", "leased"},
    [STATE_FINISHED] = {"finished_successfully", "finished"},
    [STATE_FAILED] = {"failed", "failed"},
    [STATE_CANCELLED] = {"failed", "cancelled"},
    [STATE_DELETED] = {"", ""},
};

const char *document_state_word(enum document_state state)
{
    return state_words[state].contract;
}

const char *document_state_name(enum document_state state)
{
    return state_words[state].exact;
}

unsigned document_states_of(const char *word)
{
    unsigned states = 0;
    for (size_t i = 0; *word && i < ARRAY_SIZE(state_words); i++)
        if (strcmp(word, state_words[i].contract) == 0 || strcmp(word, state_words[i].exact) == 0)
            states |= STATE_BIT(i);
    return states;
}
