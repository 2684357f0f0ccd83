#pragma once
#include <string>

// The set of Julia around c = -0.8 + 0.156i, as a grey PGM picture.
std::string picture(int side);
