#include <cstdlib>
#include <iostream>

#include "heat.hpp"

int main(int count, char** words) {
  const int side = count > 1 ? std::atoi(words[1]) : 512;
  const int rounds = count > 2 ? std::atoi(words[2]) : 1000;
  Plate plate(side);
  for (int round = 0; round < rounds; ++round) plate.step();
  std::cout << "mean temperature " << plate.mean() << '\n';
}
