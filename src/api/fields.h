/*
 * fields.h - documents described by tables: one row a field.
 *
 * The same rows check and clean what a client sends, shape what it gets, and
 * write the schemas of /openapi.json.
 *
 *   static const struct field split_fields[] = {
 *       {"datafile-id", FIELD_ID, REQUIRED, "Images to take.", .of = "datafile"},
 *       {"split-percentage", FIELD_NUMBER, 0, "Share of them.", .max = 100, .otherwise = "0.7"},
 *       {NULL},
 *   };
 *   static const struct field dataset_fields[] = {
 *       {"test", FIELD_OBJECT, REQUIRED, "Images to test with.", .also = "testing", .fields = split_fields},
 *       {"processing-state", FIELD_STRING, READ_ONLY, "Where it stands.", .words = "pending|processing"},
 *       {NULL},
 *   };
 *
 * An array's element, and the values of an object with free keys, are a table
 * of one row named "*".
 */
#ifndef ET_FIELDS_H
#define ET_FIELDS_H

#include "base/json.h"

enum field_type {
    FIELD_STRING,
    FIELD_INT,
    FIELD_NUMBER, /* integer or real, finite */
    FIELD_BOOL,
    FIELD_NUMERIC, /* a number, or a string that holds one; decoded as a string, as ElasticThought's clients
                      send it */
    FIELD_ID,      /* id of a document of type `of`: 32 lower-case hex digits */
    FIELD_URL,     /* http:// or https:// when sent by a client; any string in an answer */
    FIELD_OBJECT,  /* by `fields`; any object when that is NULL */
    FIELD_ARRAY,   /* of `fields`' row "*"; of anything when that is NULL */
    FIELD_ANY,
};

enum field_flag {
    REQUIRED = 1,
    READ_ONLY = 2, /* the server's: ignored when a client sends it */
    NULLABLE = 4,
    WRITE_ONLY = 8,  /* never in an answer: a password */
    ALSO_SHOWN = 16, /* answers carry the other spelling too */
};

struct field {
    const char *name; /* as stored and answered; NULL ends a table */
    enum field_type type;
    unsigned flags;
    const char *text; /* "Solver to train." */

    const char *also;      /* other spelling that is accepted, or NULL */
    double min, max;       /* value, or length of a string (bytes) or array; both 0: no limit */
    const char *words;     /* the only strings allowed: "pending|processing" */
    const char *otherwise; /* value when absent, as JSON text: "\"LEVELDB\""; NULL: stays absent */
    const char *of;        /* FIELD_ID: the document's type */
    const struct field *fields;
};

#define FIELD_POINTER_MAX 256

struct fields_how {
    bool partial; /* a PATCH: nothing is required, no defaults */
    const char *const
        *elsewhere; /* names that came otherwise (a file part), so not required; NULL-terminated */
};

/*
 * Checks a client's object against a table and makes a clean one: fields by
 * their own names, defaults filled in, READ_ONLY ones left out.  how may be
 * NULL.  The caller owns *ret_out.
 * Errors: INVALID, with what was found and what would be right; pointer (may
 * be NULL) then holds the field's JSON pointer, "" for the whole body.
 */
enum status fields_decode(const struct field *table, const struct fields_how *how, const json_t *in,
                          json_t **ret_out, char pointer[FIELD_POINTER_MAX], struct error *err);

/*
 * A stored document as its answer: the table's fields only, without WRITE_ONLY
 * ones, defaults and nulls where absent, other spellings as flagged.  New.
 */
json_t *fields_encode(const struct field *table, const json_t *document);

/* JSON Schema (2020-12) of what a client may send (input), or gets.  New. */
json_t *fields_schema(const struct field *table, bool input);

/* JSON Schema of one row's value. New. */
json_t *field_schema(const struct field *f, bool input);

/* The row of that name, or of that other spelling; NULL. */
const struct field *fields_find(const struct field *table, const char *name);

/* A FIELD_NUMERIC (or number) value as a double; NAN when it is none. */
double field_number(const json_t *value);

#endif
