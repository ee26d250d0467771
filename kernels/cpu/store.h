#pragma once

#include "kernels/backend.h"
#include "kernels/cpu/product.h"

namespace kvg::kernels::cpu {

void append(const AppendArgs& args, const Resources& resources);
void store(const StoreArgs& args, const Resources& resources);
void settle(const SettleArgs& args, const Resources& resources);

}  // namespace kvg::kernels::cpu
