#include "picture.hpp"

#include <complex>

static int rounds_until_far(std::complex<double> point) {
  const std::complex<double> constant(-0.8, 0.156);
  int rounds = 0;
  while (std::norm(point) < 4.0 && rounds < 255) {
    point = point * point + constant;
    ++rounds;
  }
  return rounds;
}

std::string picture(int side) {
  std::string text = "P2 " + std::to_string(side) + " " + std::to_string(side) + " 255\n";
  for (int row = 0; row < side; ++row) {
    for (int column = 0; column < side; ++column) {
      text += std::to_string(rounds_until_far({3.0 * column / side - 1.5, 3.0 * row / side - 1.5}));
      text += column + 1 < side ? ' ' : '\n';
    }
  }
  return text;
}
