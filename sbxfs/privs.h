/*
 * privs.h - what sbxfs gives up once it has mounted.
 */
#ifndef SBXFS_PRIVS_H
#define SBXFS_PRIVS_H

/*
 * Keeps what files of others need: CHOWN, DAC_OVERRIDE, FOWNER; SETUID and
 * SETGID for setfsuid alone (the filter allows no other of that family),
 * since a sandbox's disk knows only the ids of its own range; and SYS_ADMIN
 * to hand files to the kernel and to unmount. Not FSETID: without it each
 * write of ours, and of the kernel in our name, takes setuid bits away. All
 * others are gone from every set, no_new_privs is set, system calls are an
 * allow-list. 0 or -errno.
 */
int privs_drop(void);

/* The server of a remote mount: no capability at all, the same filter. */
int privs_drop_remote(void);
/* The process that speaks to the network (net.h): none either, a filter of
 * its own. */
int privs_drop_net(void);

#endif
