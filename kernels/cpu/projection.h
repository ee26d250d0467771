#pragma once

#include "kernels/backend.h"
#include "kernels/cpu/product.h"

namespace kvg::kernels::cpu {

void project_qkv(const QkvArgs& args, const Resources& resources);
void project(const ProjectArgs& args, const Resources& resources);
void add_project(const AddProjectArgs& args, const Resources& resources);

}  // namespace kvg::kernels::cpu
