/* remove.h - a whole tree, however deep, following no link. */
#ifndef AGENT_REMOVE_H
#define AGENT_REMOVE_H

/* Removes name in the directory fd. 0, or -errno of what stayed. */
int remove_tree(int fd, const char *name);

#endif
