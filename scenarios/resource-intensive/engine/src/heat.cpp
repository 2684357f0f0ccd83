#include "heat.hpp"

#include <algorithm>
#include <numeric>
#include <thread>

Plate::Plate(int side) : side_(side), now_(static_cast<size_t>(side) * side, 0.0), next_(now_) { now_[0] = 100.0; }

void Plate::average_rows(int first, int last) {
  auto at = [this](int row, int column) {
    row = std::clamp(row, 0, side_ - 1);
    column = std::clamp(column, 0, side_ - 1);
    return now_[static_cast<size_t>(row) * side_ + column];
  };
  for (int row = first; row < last; ++row) {
    for (int column = 0; column < side_; ++column) {
      const double around = at(row - 1, column) + at(row + 1, column) + at(row, column - 1) + at(row, column + 1);
      next_[static_cast<size_t>(row) * side_ + column] = around / 4.0;
    }
  }
}

void Plate::step() {
  const int workers = std::max(1, std::min<int>(side_, std::thread::hardware_concurrency()));
  std::vector<std::jthread> crew;
  for (int worker = 0; worker < workers; ++worker) {
    crew.emplace_back([=, this] { average_rows(side_ * worker / workers, side_ * (worker + 1) / workers); });
  }
  crew.clear();  // joins
  std::swap(now_, next_);
}

double Plate::mean() const { return std::accumulate(now_.begin(), now_.end(), 0.0) / static_cast<double>(now_.size()); }
