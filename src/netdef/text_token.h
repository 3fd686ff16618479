/*
 * text_token.h - protobuf's text format, cut into tokens.
 *
 * Comments (# to the end of the line) and white space separate tokens and
 * are otherwise skipped; so is a byte order mark at the start.
 */
#ifndef ET_NETDEF_TEXT_TOKEN_H
#define ET_NETDEF_TEXT_TOKEN_H

#include "base/base.h"

enum token_kind {
    TOKEN_END,
    TOKEN_NAME,    /* letters, digits and _, no digit first */
    TOKEN_INTEGER, /* decimal, 0x hex, 0 octal; the sign is a symbol of its own */
    TOKEN_FLOAT,   /* 1.5 1e3 1.f 2f .5 */
    TOKEN_STRING,  /* with its quotes, escapes as they are */
    TOKEN_SYMBOL,  /* any other single character */
};

struct token {
    enum token_kind kind;
    const char *start;
    size_t size;
    int line, column; /* of its first byte, from 1 */
};

struct tokens {
    const char *name; /* of the text, for messages */
    const char *next, *end;
    int line, column;
    struct token now; /* the current token */
    struct error *err;
};

/* text must outlive it.  The first token is current afterwards. */
enum status tokens_init(struct tokens *t, const char *text, size_t size, const char *name, struct error *err);
enum status tokens_advance(struct tokens *t);

/* INVALID: "NAME line 7, column 5: ...", at the given token. */
enum status token_error(const struct tokens *t, const struct token *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

bool token_is(const struct token *token, char symbol);

/* The token for a message: 'bottom', "end of text"; long ones are cut. */
#define TOKEN_TEXT_MAX 48
const char *token_text(const struct token *token, char out[TOKEN_TEXT_MAX]);

/* Decodes a string token's escapes and appends it; *data is malloc'd, not NUL-terminated. */
enum status token_string(const struct tokens *t, const struct token *token, char **data, size_t *size);

#endif
