#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* IANA's special-purpose IPv4 blocks that are not globally reachable, and multicast. */
static const struct {
    uint32_t network;
    int bits;
} special_v4[] = {
    {0x00000000, 8},  /* 0/8 this network */
    {0x0a000000, 8},  /* 10/8 private */
    {0x64400000, 10}, /* 100.64/10 shared */
    {0x7f000000, 8},  /* 127/8 loopback */
    {0xa9fe0000, 16}, /* 169.254/16 link-local */
    {0xac100000, 12}, /* 172.16/12 private */
    {0xc0000000, 24}, /* 192.0.0/24 protocol assignments */
    {0xc0000200, 24}, /* 192.0.2/24 documentation */
    {0xc0586300, 24}, /* 192.88.99/24 6to4 relays */
    {0xc0a80000, 16}, /* 192.168/16 private */
    {0xc6120000, 15}, /* 198.18/15 benchmarks */
    {0xc6336400, 24}, /* 198.51.100/24 documentation */
    {0xcb007100, 24}, /* 203.0.113/24 documentation */
    {0xe0000000, 4},  /* 224/4 multicast */
    {0xf0000000, 4},  /* 240/4 reserved, broadcast */
};

static bool v4_is_public(uint32_t address)
{
    for (size_t i = 0; i < ARRAY_SIZE(special_v4); i++)
        if ((address ^ special_v4[i].network) >> (32 - special_v4[i].bits) == 0)
            return false;
    return true;
}

static uint32_t read_v4(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static bool v6_is_public(const uint8_t a[16])
{
    static const uint8_t zeros[12];
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    if (!memcmp(a, mapped, 12) || !memcmp(a, nat64, 12))
        return v4_is_public(read_v4(a + 12));
    if (!memcmp(a, zeros, 12)) /* ::, ::1 and the retired IPv4-compatible form */
        return false;
    if (a[0] == 0x20 && a[1] == 0x02) /* 6to4 carries its IPv4 address here */
        return v4_is_public(read_v4(a + 2));
    if (a[0] == 0x20 && a[1] == 0x01 && a[2] < 0x02) /* 2001::/23: Teredo and other protocols */
        return false;
    if (a[0] == 0x20 && a[1] == 0x01 && a[2] == 0x0d && a[3] == 0xb8) /* documentation */
        return false;
    /* Only 2000::/3 is given out; the rest holds fc00::/7, fe80::/10, fec0::/10, ff00::/8, 100::/64,
     * 64:ff9b:1::/48. */
    return a[0] >> 5 == 1;
}

bool address_is_public(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof(v4));
        return v4_is_public(ntohl(v4.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof(v6));
        return v6_is_public(v6.sin6_addr.s6_addr);
    }
    return false;
}

const char *address_text(const struct sockaddr *address, char out[ADDRESS_TEXT_MAX])
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    const char *done = NULL;
    if (address->sa_family == AF_INET) {
        memcpy(&v4, address, sizeof(v4));
        done = inet_ntop(AF_INET, &v4.sin_addr, out, ADDRESS_TEXT_MAX);
    } else if (address->sa_family == AF_INET6) {
        memcpy(&v6, address, sizeof(v6));
        done = inet_ntop(AF_INET6, &v6.sin6_addr, out, ADDRESS_TEXT_MAX);
    }
    if (!done)
        snprintf(out, ADDRESS_TEXT_MAX, "?");
    return out;
}
