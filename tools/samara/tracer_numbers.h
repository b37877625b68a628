/* SPDX-License-Identifier: MIT */
/* Numbers of the x86-64 kernel interface that the packaged headers are too old for. */
#ifndef SAMARA_TOOLS_TRACER_NUMBERS_H
#define SAMARA_TOOLS_TRACER_NUMBERS_H

#define NR_SET_MEMPOLICY_HOME_NODE 450
#define NR_MAP_SHADOW_STACK 453
#define NR_MSEAL 462

#define NR_PR_SET_MDWE 65

/* pidfd_open(): one thread, not its whole process. */
#define NR_PIDFD_THREAD 0200		/* the value of O_EXCL */

#endif
