#ifndef LIST_H
#define LIST_H
/* Doubly linked rings with a sentinel. A link that is in no list is a ring of its own, so that it can always be taken
 * out: there is no "not in a list" to ask about first, and no first or last one to treat differently. */
#include <stdbool.h>
#include <stddef.h>

struct link {
    struct link *previous, *next;
};

#define OWNER(link, type, member) ((type *)((char *)(link) - offsetof(type, member)))

static inline void list_open(struct link *link)
{
    link->previous = link->next = link;
}

/* Of a list: nothing is in it. Of a link: it is in no list. */
static inline bool list_empty(const struct link *list)
{
    return list->next == list;
}

static inline void list_remove(struct link *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    list_open(link);
}

static inline void list_append(struct link *list, struct link *link)
{
    list_remove(link);
    link->previous = list->previous;
    link->next = list;
    list->previous->next = link;
    list->previous = link;
}

/* The first one, taken out. NULL: it is empty. */
static inline struct link *list_take(struct link *list)
{
    struct link *first = list->next;
    if (first == list)
        return NULL;
    list_remove(first);
    return first;
}

#endif
