/* SPDX-License-Identifier: MIT */
/* Stands in for peers.cc where absl is missing. */
#include "contest.h"

const struct contestant *const *contest_peers(void)
{
	static const struct contestant *const none[] = { NULL };

	puts("absl::btree_map and std::map are left out: Debian's libabsl-dev was missing when this was built");
	return none;
}
