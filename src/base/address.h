/*
 * address.h - which network addresses a user's URL may lead to.
 */
#ifndef ET_ADDRESS_H
#define ET_ADDRESS_H

#include <sys/socket.h>

#include "base/base.h"

/*
 * Is this an address of the public internet?  false for private, loopback,
 * link-local, shared (100.64/10), unspecified, multicast, reserved and
 * documentation addresses, for IPv6 addresses that carry such an IPv4
 * address (mapped, compatible, 6to4, NAT64), and for other families.
 */
bool address_is_public(const struct sockaddr *address);

#define ADDRESS_TEXT_MAX 64
/* "127.0.0.1" or "::1"; "?" for another family.  Returns out. */
const char *address_text(const struct sockaddr *address, char out[ADDRESS_TEXT_MAX]);

#endif
