#pragma once

#include "kernels/backend.h"
#include "kernels/cpu/product.h"

namespace kvg::kernels::cpu {

void attend(const AttendArgs& args, const Resources& resources);
void prefill_attend(const PrefillAttendArgs& args, const Resources& resources);

}  // namespace kvg::kernels::cpu
