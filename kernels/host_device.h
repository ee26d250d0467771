#pragma once

// Functions that run on the host and on a device alike.
#ifdef __CUDACC__
#define KVG_HOST_DEVICE __host__ __device__
#else
#define KVG_HOST_DEVICE
#endif
