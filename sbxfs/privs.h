/*
 * privs.h - what sbxfs gives up once it has mounted.
 */
#ifndef SBXFS_PRIVS_H
#define SBXFS_PRIVS_H

/*
 * Keeps what files of others need: CHOWN, DAC_OVERRIDE, FOWNER, FSETID;
 * SETUID and SETGID for setfsuid alone (the filter allows no other of that
 * family), since a sandbox's disk knows only the ids of its own range; and
 * SYS_ADMIN to unmount. All others are gone from every set, no_new_privs is
 * set, system calls are an allow-list. 0 or -errno.
 */
int privs_drop(void);

#endif
