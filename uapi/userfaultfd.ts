// SPDX-License-Identifier: GPL-2.0-only
/** What user space passes to userfaultfd() and its ioctl() (uapi/linux/userfaultfd.h). Addresses and lengths are bytes. */
export const UFFD_USER_MODE_ONLY = 1;
export const UFFD_CLOEXEC = 0o2000000;
export const UFFD_NONBLOCK = 0o4000;

export const UFFD_API = 0xaa;
export const UFFDIO_API = 0xc018aa3f;
export const UFFDIO_REGISTER = 0xc020aa00;
export const UFFDIO_UNREGISTER = 0x8010aa01;

export const UFFDIO_REGISTER_MODE_MISSING = 1 << 0;
export const UFFDIO_REGISTER_MODE_WP = 1 << 1;
export const UFFDIO_REGISTER_MODE_MINOR = 1 << 2;

export const UFFD_FEATURE_EVENT_FORK = 1 << 1;
export const UFFD_FEATURE_MISSING_HUGETLBFS = 1 << 4;
export const UFFD_FEATURE_MISSING_SHMEM = 1 << 5;
export const UFFD_FEATURE_THREAD_ID = 1 << 8;
export const UFFD_FEATURE_EXACT_ADDRESS = 1 << 11;
/** All that v6.1 knows. */
export const UFFD_API_FEATURES = (1 << 13) - 1;

export interface uffdio_api {
  api: number;
  features: number;
}

export interface uffdio_range {
  readonly start: number;
  readonly len: number;
}

export interface uffdio_register {
  readonly range: uffdio_range;
  readonly mode: number;
}
