#include "table.h"

#include <stdlib.h>

enum { FIRST_SIZE = 16 };

static struct entry *new_entries(size_t size)
{
    struct entry *entries = calloc(size, sizeof *entries);
    if (entries == NULL)
        abort();
    return entries;
}

void table_open(struct table *table)
{
    *table = (struct table){.entries = new_entries(FIRST_SIZE), .size = FIRST_SIZE};
}

void table_close(struct table *table)
{
    free(table->entries);
}

size_t table_used(const struct table *table)
{
    return table->used;
}

/* Where an id would be if nobody were in its way. */
static size_t home(const struct table *table, uint64_t id)
{
    return (size_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (table->size - 1);
}

/* The entry of this id, or the free one where it belongs. There is always a free one. */
static struct entry *place(const struct table *table, uint64_t id)
{
    size_t at = home(table, id);
    while (table->entries[at].value != NULL && table->entries[at].id != id)
        at = (at + 1) & (table->size - 1);
    return &table->entries[at];
}

void *table_find(const struct table *table, uint64_t id)
{
    return place(table, id)->value;
}

void table_add(struct table *table, uint64_t id, void *value)
{
    if (2 * (table->used + 1) > table->size) {
        struct table larger = {.entries = new_entries(2 * table->size), .size = 2 * table->size, .used = table->used};
        for (size_t i = 0; i < table->size; i++)
            if (table->entries[i].value != NULL)
                *place(&larger, table->entries[i].id) = table->entries[i];
        free(table->entries);
        *table = larger;
    }
    *place(table, id) = (struct entry){id, value};
    table->used++;
}

void table_remove(struct table *table, uint64_t id)
{
    struct entry *const entries = table->entries;
    const size_t mask = table->size - 1;
    size_t gap = (size_t)(place(table, id) - entries);

    /* Whoever stands behind the gap because somebody was in his way moves up, if that does not bring him before his
     * home: if he is at least as far from his home as from the gap. */
    for (size_t i = (gap + 1) & mask; entries[i].value != NULL; i = (i + 1) & mask)
        if (((i - home(table, entries[i].id)) & mask) >= ((i - gap) & mask)) {
            entries[gap] = entries[i];
            gap = i;
        }
    entries[gap].value = NULL;
    table->used--;
}

void table_visit(struct table *table, void (*visit)(void *value))
{
    for (size_t i = 0; i < table->size; i++) {
        struct entry seen = {0, NULL};
        /* As long as the visitor removes who is here, somebody else may move up to this place. */
        while (table->entries[i].value != NULL && table->entries[i].value != seen.value) {
            seen = table->entries[i];
            visit(seen.value);
        }
    }
}
