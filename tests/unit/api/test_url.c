#include "../test.h"

#include "api/resource.h"

static void only_public_web_addresses_are_fetched(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool public, private; /* allowed: without and with --allow-private-urls */
    } rows[] = {
        {"http://example.com/data.tar.gz", true, true},
        {"https://example.com:8443/a?b=c", true, true},
        {"http://93.184.216.34/x", true, true},
        {"http://127.0.0.1/x", false, true},
        {"http://127.1/x", false, true},
        {"http://2130706433/x", false, true},
        {"http://0x7f.0.0.1/x", false, true},
        {"http://10.1.2.3:8080/x", false, true},
        {"http://169.254.169.254/latest/meta-data", false, true},
        {"http://[::1]/x", false, true},
        {"http://[::ffff:10.0.0.1]/x", false, true},
        {"http://[2606:2800:220:1:248:1893:25c8:1946]/x", true, true},
        {"http://localhost/x", false, true},
        {"http://LOCALHOST:9000/x", false, true},
        {"ftp://example.com/x", false, false},
        {"file:///etc/passwd", false, false},
        {"gopher://example.com/", false, false},
        {"example.com/x", false, false},
        {"http://", false, false},
        {"", false, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        if ((url_check(rows[i].url, false, &err) == OK) != rows[i].public)
            fail_msg("%s: %s", rows[i].url, err.message);
        if ((url_check(rows[i].url, true, &err) == OK) != rows[i].private)
            fail_msg("%s with private ones allowed: %s", rows[i].url, err.message);
    }
}

static void a_blob_is_named_after_the_last_element_of_the_path(void **state)
{
    (void)state;
    static const struct {
        const char *url, *name;
    } rows[] = {
        {"http://h/data.tar.gz", "data.tar.gz"},
        {"http://h/a/b/letters.zip?token=x#y", "letters.zip"},
        {"http://h/my%20data.tar.gz", "my_data.tar.gz"},
        {"http://h/a%2f..%2f.hidden", "_hidden"},
        {"http://h/a/..", "data"},
        {"http://h/", "data"},
        {"http://h", "data"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(freep) char *name = url_file_name(rows[i].url);
        assert_string_equal(name, rows[i].name);
    }
}

static void a_long_name_keeps_its_end(void **state)
{
    (void)state;
    char long_name[301];
    memset(long_name, 'x', 300);
    memcpy(long_name + 293, ".tar.gz", 8);
    CLEANUP(freep) char *name = blob_name_from(long_name);
    assert_int_equal(strlen(name), 100);
    assert_string_equal(name + 93, ".tar.gz");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_public_web_addresses_are_fetched),
        cmocka_unit_test(a_blob_is_named_after_the_last_element_of_the_path),
        cmocka_unit_test(a_long_name_keeps_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
