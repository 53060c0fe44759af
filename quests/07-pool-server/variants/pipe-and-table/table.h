#ifndef TABLE_H
#define TABLE_H
/* A hash table from 64-bit ids to pointers: open addressing, linear probing, and no traces of what was removed. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table {
    struct entry {
        uint64_t id;
        void *value; /* NULL: free */
    } *entries;
    size_t size, used; /* size: a power of two */
};

void table_open(struct table *table);
void table_close(struct table *table);
size_t table_used(const struct table *table);
void *table_find(const struct table *table, uint64_t id); /* NULL: not there */
void table_add(struct table *table, uint64_t id, void *value);
void table_remove(struct table *table, uint64_t id);

/* Shows each value to `visit`, some of them perhaps twice. It may remove the one that it is shown, and no other. */
void table_visit(struct table *table, void (*visit)(void *value));

#endif
