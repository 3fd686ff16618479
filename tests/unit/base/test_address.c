#include "../test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "base/address.h"

/* Expected values: IANA's special-purpose address registries. */
static void only_global_unicast_addresses_are_public(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        bool is_public;
    } rows[] = {
        {"8.8.8.8", true},
        {"1.1.1.1", true},
        {"223.255.255.255", true},
        {"0.0.0.0", false},
        {"0.1.2.3", false},
        {"10.0.0.1", false},
        {"10.255.255.255", false},
        {"11.0.0.0", true},
        {"100.63.255.255", true},
        {"100.64.0.0", false},
        {"100.127.255.255", false},
        {"100.128.0.0", true},
        {"127.0.0.1", false},
        {"127.255.255.254", false},
        {"169.254.169.254", false},
        {"172.15.255.255", true},
        {"172.16.0.1", false},
        {"172.31.255.255", false},
        {"172.32.0.0", true},
        {"192.168.1.1", false},
        {"192.0.0.8", false},
        {"192.0.2.1", false},
        {"198.18.0.1", false},
        {"198.20.0.1", true},
        {"224.0.0.1", false},
        {"239.255.255.255", false},
        {"240.0.0.1", false},
        {"255.255.255.255", false},
        {"2606:4700:4700::1111", true},
        {"::", false},
        {"::1", false},
        {"::7f00:1", false},
        {"::ffff:127.0.0.1", false},
        {"::ffff:8.8.8.8", true},
        {"64:ff9b::10.0.0.1", false},
        {"64:ff9b::8.8.8.8", true},
        {"2002:7f00:1::", false},
        {"2002:808:808::", true},
        {"2001::1", false},
        {"2001:db8::1", false},
        {"2001:4860:4860::8888", true},
        {"fc00::1", false},
        {"fdff::1", false},
        {"fe80::1", false},
        {"fec0::1", false},
        {"ff02::1", false},
        {"100::1", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
        bool is_v6 = strchr(rows[i].address, ':');
        assert_int_equal(inet_pton(is_v6 ? AF_INET6 : AF_INET, rows[i].address,
                                   is_v6 ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr),
                         1);
        bool got = address_is_public(is_v6 ? (void *)&v6 : (void *)&v4);
        if (got != rows[i].is_public)
            fail_msg("%s: %s", rows[i].address, got ? "public" : "not public");
    }
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    assert_false(address_is_public((void *)&local));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_global_unicast_addresses_are_public),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
