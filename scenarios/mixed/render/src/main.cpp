#include <cstdlib>
#include <iostream>

#include "picture.hpp"

int main(int count, char** words) { std::cout << picture(count > 1 ? std::atoi(words[1]) : 512); }
