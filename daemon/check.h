/*
 * check.h - sbxd --check: what the host offers, what each missing thing
 * costs, and what the configuration would do. Starts and changes nothing.
 */
#ifndef DAEMON_CHECK_H
#define DAEMON_CHECK_H

#include <stdio.h>

#include "daemon/config.h"

/* Writes the report; 0: sbxd would run, 1: it would not. */
int check_print(const struct config *cfg, FILE *to);

#endif
