/*
 * notify.h - the service manager that started us waits until we serve, where
 * it asks for that: sd_notify(3)'s protocol.
 */
#ifndef LIB_NOTIFY_H
#define LIB_NOTIFY_H

/* Says that we are ready; 0 too where nobody wants to know. Or -errno. */
int notify_ready(void);

#endif
