/*
 * The configuration: defaults, keys, variables, and what is said of mistakes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/config.h"
#include "daemon/config_impl.h"
#include "lib/fd.h"
#include "lib/mem.h"
#include "tests/unit/config.h"
#include "tests/unit/unit.h"

/* Found from the root of the source, where the tests are run. */
#define EXAMPLE "config/sbxd.toml"

/*** Defaults ***/

START_TEST(without_a_word_the_defaults_hold)
{
	loads("");
	ck_assert_str_eq(c->path, path);
	ck_assert_str_eq(c->socket, "/run/sbxd/sbxd.sock");
	ck_assert_str_eq(c->tcp, "");
	ck_assert_str_eq(c->data_dir, "/var/lib/sbxd");
	ck_assert_str_eq(c->run_dir, "/run/sbxd");
	ck_assert_str_eq(c->user, "_sbx");
	ck_assert_str_eq(c->group, "sbx");
	ck_assert_str_eq(c->cgroup, "sbxd");
	ck_assert_str_eq(c->agent, SBX_PREFIX "/lib/sbxd/sbx-agent");
	ck_assert_str_eq(c->node_id, "");
	ck_assert(!c->compat_socket);
	ck_assert_int_eq(c->id_first, 268435456);
	ck_assert_int_eq(c->id_count, INT64_C(2147483648));
	ck_assert_int_eq(c->workers, 3);
	ck_assert_str_eq(buf_str(&warnings), "");
}
END_TEST

START_TEST(without_a_word_the_default_limits_hold)
{
	loads("");
	ck_assert_int_eq(c->max_sandboxes, 10000);
	ck_assert_int_eq(c->max_memory_bytes, INT64_C(4) << 30);
	ck_assert_int_eq(c->max_cpu_milli, 4000);
	ck_assert_int_eq(c->total_memory_bytes, 0);
	ck_assert_int_eq(c->total_cpu_milli, 0);
	ck_assert_int_eq(c->max_ttl_s, 86400);
	ck_assert_int_eq(c->connect_timeout_s, 600);
	ck_assert_int_eq(c->job_output_bytes, 64 << 20);
	ck_assert_int_eq(c->websocket_idle_ms, 300000);
	ck_assert_int_eq(c->jobs_kept, 100);
	ck_assert_int_eq(c->jobs_bytes, 256 << 20);
	ck_assert_int_eq(c->pool_min_base, 2);
	ck_assert_int_eq(c->pool_max_warm, 60);
	ck_assert_int_eq(c->pool_health_ms, 10000);
}
END_TEST

START_TEST(there_is_a_profile_and_an_image_in_any_case)
{
	const struct profile *p;

	loads("");
	p = config_profile(c, "default");
	ck_assert_ptr_nonnull(p);
	ck_assert_str_eq(p->image, "host");
	ck_assert_str_eq(p->runtime, "native");
	ck_assert_str_eq(p->network, "none");
	ck_assert_int_eq(p->limits.memory_bytes, 512 << 20);
	ck_assert_int_eq(p->limits.cpu_milli, 1000);
	ck_assert_int_eq(p->limits.storage_bytes, 500 << 20);
	ck_assert_int_eq(p->limits.pids, 256);
	ck_assert_int_eq(p->timeout_s, 0);
	ck_assert_int_eq(p->pool_min, 2);
	ck_assert_int_eq(p->pool_max, 10);
	ck_assert_str_eq(p->memory_text, "512m");
	ck_assert_str_eq(p->storage_text, "500m");
	ck_assert_str_eq(config_image(c, "host")->rt.kind, "host");
	ck_assert_ptr_null(config_profile(c, "nope"));
	ck_assert_ptr_null(config_image(c, "nope"));
}
END_TEST

/* The example with every comment before a key or table taken away. */
static char *
example_uncommented(void)
{
	struct buf out = BUF_INIT;
	char line[512], *p;
	FILE *f = fopen(EXAMPLE, "r");
	bool image = false;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		p = line;
		if (*p == '#' && p[1] != ' ' && p[1] != '\n')
			p++;
		if (*p == '[')
			image = strncmp(p, "[images.", 8) == 0;
		/* its path is there on nobody's machine */
		if (!image || *p == '[')
			buf_adds(&out, p);
		if (image && *p == '[')
			buf_adds(&out, "path = \"/usr\"\n");
	}
	fclose(f);
	return buf_steal(&out);
}

START_TEST(the_example_changes_nothing)
{
	const struct config *d = NULL;
	FILE *f = fopen(EXAMPLE, "r");

	ck_assert_ptr_nonnull(f);
	fclose(f);
	ck_assert_int_eq(
	    config_load(EXAMPLE, on_warning, (struct config **)&d, &e), 0);
	ck_assert_str_eq(buf_str(&warnings), "");
	ck_assert_str_eq(d->socket, "/run/sbxd/sbxd.sock");
	config_free((struct config *)(uintptr_t)d);
}
END_TEST

static void
same_field(const struct row *row, const void *a, const void *b)
{
	const char *x = (const char *)a + row->offset;
	const char *y = (const char *)b + row->offset;

	if (row->base != IN_CONFIG)
		return;
	if (row->def == NULL || row->max != 0)
		ck_assert_msg(row->def == NULL ||
			*(const int64_t *)x == *(const int64_t *)y,
		    "%s", row->name);
}

START_TEST(the_values_in_the_example_are_the_defaults)
{
	char *text = example_uncommented();
	const struct profile *small, *p;
	struct config *d;
	size_t i;

	loads(text);
	free(text);
	d = c;
	c = NULL;
	loads("");
	for (i = 0; i < config_keys.n; i++)
		same_field(&config_keys.row[i], d, c);
	ck_assert_str_eq(d->socket, c->socket);
	ck_assert_str_eq(d->tcp, c->tcp);
	ck_assert_str_eq(d->data_dir, c->data_dir);
	ck_assert_str_eq(d->run_dir, c->run_dir);
	ck_assert_str_eq(d->user, c->user);
	ck_assert_str_eq(d->group, c->group);
	ck_assert_str_eq(d->cgroup, c->cgroup);
	ck_assert_str_eq(d->node_id, c->node_id);
	ck_assert_int_eq(d->max_cpu_milli, c->max_cpu_milli);
	ck_assert_int_eq(d->total_cpu_milli, c->total_cpu_milli);
	ck_assert_int_eq(d->compat_socket, c->compat_socket);
	small = config_profile(d, "small");
	p = config_profile(c, "default");
	ck_assert_str_eq(small->image, p->image);
	ck_assert_int_eq(small->limits.cpu_milli, 0);
	ck_assert_int_eq(small->limits.memory_bytes, p->limits.memory_bytes);
	ck_assert_int_eq(small->limits.storage_bytes, p->limits.storage_bytes);
	ck_assert_int_eq(small->limits.pids, p->limits.pids);
	ck_assert_int_eq(small->timeout_s, p->timeout_s);
	ck_assert_int_eq(small->start_timeout_ms, p->start_timeout_ms);
	ck_assert_int_eq(small->pool_min, p->pool_min);
	ck_assert_int_eq(small->pool_max, p->pool_max);
	config_free(d);
}
END_TEST

START_TEST(every_default_in_the_table_is_a_good_value)
{
	loads(""); /* aborts where one is not */
}
END_TEST

/*** Keys ***/

START_TEST(values_of_the_file_are_taken)
{
	loads("[server]\nsocket = '/a/b'\ntcp = '127.0.0.1:80'\n"
	      "workers = 7\nid_first = 65536\nid_count = 131072\n"
	      "[limits]\nmax_memory = '1g'\nmax_cpu = 0.5\n"
	      "max_ttl = '1h'\njob_output = 1000\n"
	      "[pool]\nhealth_interval = '300ms'\n");
	ck_assert_str_eq(c->socket, "/a/b");
	ck_assert_str_eq(c->tcp, "127.0.0.1:80");
	ck_assert_int_eq(c->workers, 7);
	ck_assert_int_eq(c->id_first, 65536);
	ck_assert_int_eq(c->max_memory_bytes, 1 << 30);
	ck_assert_int_eq(c->max_cpu_milli, 500);
	ck_assert_int_eq(c->max_ttl_s, 3600);
	ck_assert_int_eq(c->job_output_bytes, 1000);
	ck_assert_int_eq(c->pool_health_ms, 300);
}
END_TEST

START_TEST(the_socket_lies_in_the_run_directory)
{
	loads("[server]\nrun_dir = '/tmp/x'");
	ck_assert_str_eq(c->socket, "/tmp/x/sbxd.sock");
}
END_TEST

START_TEST(an_unknown_key_is_a_warning_with_its_line)
{
	warns("[server]\n\nsokket = '/x'", "line 3: unknown key server.sokket");
	warns("[sevrer]\n", "line 1: unknown table sevrer");
	warns("[pool.base.x]\nmemry = 1",
	    "line 2: unknown key pool.base.x.memry");
	warns("x = 1", "line 1: unknown key x");
	warns("[pool.base]\nx = 1", "line 2: unknown key pool.base.x");
	warns("images = 1", "line 1: unknown key images");
}
END_TEST

START_TEST(known_tables_are_no_warning)
{
	loads("[server]\n[limits]\n[pool]\n[pool.base]\n[images]\n"
	      "[network]\n[multi_tenant]\n[firecracker]\n[pool.base.x]\n");
	ck_assert_str_eq(buf_str(&warnings), "");
}
END_TEST

START_TEST(nobody_has_to_listen_to_warnings)
{
	write_file(path, "x = 1");
	ck_assert_int_eq(config_load(path, NULL, &c, &e), 0);
}
END_TEST

START_TEST(a_key_without_effect_is_a_warning)
{
	warns("[limits]\nmax_templates = 3",
	    "line 2: limits.max_templates has no effect in this version");
}
END_TEST

START_TEST(a_wrong_type_is_an_error_with_its_line)
{
	fails("[server]\nsocket = 1",
	    "line 2: server.socket: expected a string, got an integer");
	fails("[limits]\n\nmax_sandboxes = \"many\"",
	    "line 3: limits.max_sandboxes: expected an integer, got a string");
	fails("[server]\ncompat_socket = 'x'",
	    "line 2: server.compat_socket: expected true or false, got a "
	    "string");
	fails("server = 1\n[server.socket]",
	    "line 2: server is a value, not a table");
	fails("[server.socket]",
	    "line 1: server.socket: expected a string, "
	    "got a table");
	fails("[multi_tenant]\npublic_keys = [1]",
	    "line 2: multi_tenant.public_keys: expected an array of strings, "
	    "got an integer");
}
END_TEST

START_TEST(numbers_lie_in_their_range)
{
	fails("[limits]\nmax_sandboxes = 0",
	    "line 2: limits.max_sandboxes must be positive");
	fails("[pool]\nmin_base = -1",
	    "line 2: pool.min_base must be non-negative");
	fails("[pool]\ntotal_warm = -1",
	    "line 2: pool.total_warm must be non-negative");
	fails(
	    "[server]\nworkers = 33", "line 2: server.workers must be 1 to 32");
	fails("[limits]\nmax_cpu = -1.0",
	    "line 2: limits.max_cpu: -1.000000000: expected cores as 1 or "
	    "0.5");
	fails("[limits]\nmax_cpu = 1e10", "line 2: limits.max_cpu: too large");
}
END_TEST

START_TEST(few_cores_do_not_become_unlimited)
{
	fails("[pool.base.x]\ncpu = 0.0001",
	    "line 2: pool.base.x.cpu: 0.000100000: expected cores as 1 or "
	    "0.5");
}
END_TEST

START_TEST(sizes_and_times_are_written_as_documented)
{
	fails("[limits]\nmax_memory = '1.5g'",
	    "line 2: limits.max_memory: \"1.5g\": expected a size as 512m or "
	    "4g");
	fails("[limits]\nmax_memory = '99999999t'",
	    "line 2: limits.max_memory: \"99999999t\": too large");
	fails("[limits]\nmax_ttl = '1d'",
	    "line 2: limits.max_ttl: \"1d\": expected a time as 300ms, 10s or "
	    "1h30m");
	fails("[limits]\nmax_ttl = '300ms'",
	    "line 2: limits.max_ttl: \"300ms\": expected whole seconds");
	fails("[pool]\nhealth_interval = '1ms'",
	    "line 2: pool.health_interval: \"1ms\": too short");
}
END_TEST

START_TEST(what_is_no_toml_is_an_error_with_its_line)
{
	fails("x = [\n", "line 1: an array is not closed by ]");
	fails("a = 1\nb\n", "line 2: expected = after b");
}
END_TEST

START_TEST(paths_are_absolute_and_there)
{
	fails("[server]\nsocket = ''", "line 2: server.socket is required");
	fails("[server]\ndata_dir = 'x'",
	    "line 2: server.data_dir: x: expected an absolute path");
	fails("[server]\nrun_dir = '/'",
	    "line 2: server.run_dir: /: must not be");
	fails("[server]\nuser = ''", "line 2: server.user is required");
}
END_TEST

START_TEST(a_path_leaves_room_for_its_sockets)
{
	char text[512], want[256];

	snprintf(text, sizeof(text), "[server]\nrun_dir = '/%0100d'", 0);
	ck_assert_int_eq(load(text), -1);
	snprintf(want, sizeof(want), "line 2: server.run_dir: ");
	ck_assert_ptr_nonnull(strstr(e.text, want));
	ck_assert_ptr_nonnull(strstr(e.text, "too long"));
	snprintf(text, sizeof(text), "[server]\nsocket = '/%0200d'", 0);
	ck_assert_int_eq(load(text), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "line 2: server.socket: "));
}
END_TEST

START_TEST(an_address_is_numeric_with_a_port)
{
	static const char *const good[] = { "", "127.0.0.1:7522", "[::1]:1",
		"localhost:80", ":65535", "0.0.0.0:80" };
	static const char *const bad[] = { "7522", "127.0.0.1", "x:80",
		"example.org:80", "127.0.0.1:0", "127.0.0.1:65536",
		"127.0.0.1:http", "1.2.3:80", "[::1:80", "::1:80", "::1:2:80",
		"127.0.0.1: 80" };
	char text[128];
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(text, sizeof(text),
		    "[server]\ninsecure = true\ntcp = '%s'", good[i]);
		loads(text);
		ck_assert_str_eq(c->tcp, good[i]);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "[server]\ntcp = '%s'", bad[i]);
		ck_assert_msg(load(text) < 0, "%s", bad[i]);
		ck_assert_ptr_nonnull(strstr(e.text, "line 2: server.tcp: "));
	}
}
END_TEST

START_TEST(a_cgroup_stays_below_the_mount)
{
	static const char *const bad[] = { "", "/x", "..", "a/../b", "a//b",
		"a/", ".", "a b" };
	char text[128];
	size_t i;

	loads("[server]\ncgroup = 'system.slice/sbxd-guests.service'");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "[server]\ncgroup = '%s'", bad[i]);
		ck_assert_msg(load(text) < 0, "%s", bad[i]);
	}
}
END_TEST

START_TEST(ids_are_whole_ranges_of_32_bits)
{
	fails("[server]\nid_first = 65537",
	    "line 2: server.id_first must be a multiple of 65536");
	fails("[server]\nid_first = 0",
	    "line 2: server.id_first must be 65536 to 4294901759");
	ck_assert_int_eq(
	    load("[server]\nid_first = 4261412864\nid_count = 72089600"), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "ids end at 4294967295"));
}
END_TEST

START_TEST(a_node_has_a_short_name)
{
	loads("[server]\nnode_id = 'eu-1'");
	ck_assert_int_eq(load("[server]\nnode_id = 'a_b'"), -1);
	ck_assert_int_eq(
	    load("[server]\nnode_id = 'abcdefghijklmnopqrstuvwx'"), -1);
}
END_TEST

START_TEST(what_would_be_unprotected_is_refused)
{
	fails("[server]\ntls_cert = 'x'",
	    "line 2: server.tls_cert and server.tls_key must both be set or "
	    "both be empty");
	loads("[server]\ntls_cert = 'x'\ntls_key = 'y'\ntoken_file = 'z'\n"
	      "tcp = '0.0.0.0:1'");
	fails("[server]\ntls_cert = 'x'\ntls_key = 'y'\ntcp = '0.0.0.0:1'",
	    "line 4: server.tcp: 0.0.0.0:1 is reached by other machines: that "
	    "needs "
	    "server.tls_cert, server.tls_key and server.token_file, or "
	    "server.insecure = true");
	fails("[server]\ntoken_file = 'z'\ntcp = '[::]:1'",
	    "line 3: server.tcp: [::]:1 is reached by other machines: that "
	    "needs "
	    "server.tls_cert, server.tls_key and server.token_file, or "
	    "server.insecure = true");
	loads("[server]\ninsecure = true\ntcp = ':1'");
	fails("[multi_tenant]\nenabled = true",
	    "line 2: multi_tenant.enabled: this version has no tenants");
}
END_TEST

START_TEST(keys_that_belong_together_fit_together)
{
	fails("[pool]\ntotal_warm = 30\nmax_warm = 20",
	    "line 2: pool.max_warm must be >= pool.total_warm");
	loads("[pool]\nmax_warm = 20");
	fails("[limits]\ntunnel_port_min = 5\ntunnel_port_max = 4",
	    "line 2: tunnel_port_min must be <= tunnel_port_max");
}
END_TEST

/*** Files and variables ***/

START_TEST(a_file_that_was_named_has_to_be_there)
{
	ck_assert_int_eq(config_load("/nope/x", on_warning, &c, &e), -1);
	ck_assert_int_eq(e.code, ENOENT);
	ck_assert_str_eq(e.text, "/nope/x: No such file or directory");
	ck_assert_int_eq(config_load("/", on_warning, &c, &e), -1);
	ck_assert_int_eq(e.code, EISDIR);
}
END_TEST

START_TEST(a_file_that_everybody_may_write_is_a_warning)
{
	write_file(path, "");
	ck_assert_int_eq(chmod(path, 0666), 0);
	ck_assert_int_eq(config_load(path, on_warning, &c, &e), 0);
	ck_assert_ptr_nonnull(
	    strstr(buf_str(&warnings), "everybody may write to it"));
}
END_TEST

START_TEST(variables_win_over_the_file)
{
	setenv("SANDBOX_SOCKET", "/s/a", 1);
	setenv("SANDBOX_DATA_DIR", "/s/d", 1);
	setenv("SBXD_SOCKET", "/s/b", 1);
	setenv("SBXD_TCP", "", 1);
	loads("[server]\nsocket = '/x'\ntcp = '127.0.0.1:9'\n"
	      "data_dir = '/y'");
	ck_assert_str_eq(c->socket, "/s/b");
	ck_assert_str_eq(c->data_dir, "/s/d");
	ck_assert_str_eq(c->tcp, "127.0.0.1:9");
}
END_TEST

START_TEST(a_bad_variable_is_an_error_with_its_name)
{
	setenv("SBXD_TCP", "nowhere", 1);
	ck_assert_int_eq(load(""), -1);
	ck_assert_str_eq(
	    e.text, "SBXD_TCP: nowhere: expected a numeric \"address:port\"");
	setenv("SBXD_TCP", "", 1);
	setenv("SBXD_SOCKET", "relative", 1);
	ck_assert_int_eq(load(""), -1);
	ck_assert_str_eq(
	    e.text, "SBXD_SOCKET: relative: expected an absolute path");
}
END_TEST

START_TEST(what_holds_until_the_next_start_is_kept_and_said)
{
	struct config *old;

	loads("[server]\nrun_dir = '/tmp/a'\nid_first = 131072\n"
	      "compat_socket = true");
	old = c;
	c = NULL;
	loads("[server]\nrun_dir = '/tmp/b'\ntcp = '[::1]:9'\nworkers = 9\n"
	      "node_id = 'n'\n[limits]\nmax_sandboxes = 9");
	config_keep(c, old, on_warning);
	ck_assert_str_eq(c->run_dir, "/tmp/a");
	ck_assert_str_eq(c->socket, "/tmp/a/sbxd.sock");
	ck_assert_str_eq(c->tcp, "");
	ck_assert_int_eq(c->id_first, 131072);
	ck_assert(c->compat_socket);
	ck_assert_int_eq(c->workers, 9);
	ck_assert_str_eq(c->node_id, "n");
	ck_assert_int_eq(c->max_sandboxes, 9);
	ck_assert_str_eq(buf_str(&warnings),
	    "server.socket holds until the next start\n"
	    "server.tcp holds until the next start\n"
	    "server.run_dir holds until the next start\n"
	    "server.compat_socket holds until the next start\n"
	    "server.id_first holds until the next start\n");
	buf_clear(&warnings);
	config_keep(c, old, on_warning);
	ck_assert_str_eq(buf_str(&warnings), "");
	config_free(old);
}
END_TEST

START_TEST(a_half_read_configuration_is_freed)
{
	fails("[server]\nsocket = '/x'\n[pool.base.a]\nmemory = '1m'\n"
	      "[images.x]\npath = '/usr'\n[limits]\nmax_cpu = 'x'",
	    "line 8: limits.max_cpu: expected a number, got a string");
	config_free(NULL);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = { without_a_word_the_defaults_hold,
		without_a_word_the_default_limits_hold,
		there_is_a_profile_and_an_image_in_any_case,
		the_example_changes_nothing,
		the_values_in_the_example_are_the_defaults,
		every_default_in_the_table_is_a_good_value,
		values_of_the_file_are_taken,
		the_socket_lies_in_the_run_directory,
		an_unknown_key_is_a_warning_with_its_line,
		known_tables_are_no_warning, nobody_has_to_listen_to_warnings,
		a_key_without_effect_is_a_warning,
		a_wrong_type_is_an_error_with_its_line,
		numbers_lie_in_their_range, few_cores_do_not_become_unlimited,
		sizes_and_times_are_written_as_documented,
		what_is_no_toml_is_an_error_with_its_line,
		paths_are_absolute_and_there,
		a_path_leaves_room_for_its_sockets,
		an_address_is_numeric_with_a_port,
		a_cgroup_stays_below_the_mount, ids_are_whole_ranges_of_32_bits,
		a_node_has_a_short_name, what_would_be_unprotected_is_refused,
		keys_that_belong_together_fit_together,
		a_file_that_was_named_has_to_be_there,
		a_file_that_everybody_may_write_is_a_warning,
		variables_win_over_the_file,
		a_bad_variable_is_an_error_with_its_name,
		what_holds_until_the_next_start_is_kept_and_said,
		a_half_read_configuration_is_freed };
	Suite *s = suite_create("daemon");

	UNIT_ADD_IN(s, "config", tests, setup, teardown);
	return unit_run(s);
}
