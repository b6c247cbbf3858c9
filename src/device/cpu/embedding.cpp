// Token and position embeddings.
#include "launch.h"

void run_embedding(const Launch& l, Worker& worker) {
  using namespace kernel_embedding;
  const long rows = l.integers[i_rows], width = l.integers[i_width];
  const int32_t *ids = l.n(b_ids), *positions = l.n(b_positions);
  const real *tokens = l.r(b_tokenTable), *places = l.r(b_positionTable);
  real* out = l.r(b_out);
  constexpr long chunk = 64;
  forTasks(worker, (rows + chunk - 1) / chunk, [&](long task) {
    const long to = (task + 1) * chunk < rows ? (task + 1) * chunk : rows;
    for (long row = task * chunk; row < to; row++) {
      const long id = ids[row];
      if (id < 0 || id >= l.integers[i_vocabulary]) {
        worker.fault(row, id, l.integers[i_vocabulary]);
        continue;
      }
      const real* token = tokens + id * width;
      real* to = out + row * width;
      if (places == nullptr) {
        memcpy(to, token, size_t(width) * sizeof(real));
        continue;
      }
      const long position = positions[row];
      if (position < 0 || position >= l.integers[i_context]) {
        worker.fault(row, position, l.integers[i_context]);
        continue;
      }
      const real* place = places + position * width;
      for (long j = 0; j < width; j++) to[j] = token[j] + place[j];
    }
  });
}
Scratch scratch_embedding(const Launch&, int) { return {}; }

// A task owns columns and adds all rows in order, so that no two write the same element.
void run_embeddingGradient(const Launch& l, Worker& worker) {
  using namespace kernel_embeddingGradient;
  const long rows = l.integers[i_rows], width = l.integers[i_width];
  const int32_t *ids = l.n(b_ids), *positions = l.n(b_positions);
  const real* dOut = l.r(b_dOut);
  real *tokens = l.r(b_dTokenTable), *places = l.r(b_dPositionTable);
  constexpr long columns = 32;
  forTasks(worker, (width + columns - 1) / columns, [&](long task) {
    const long from = task * columns;
    const long count = width - from < columns ? width - from : columns;
    for (long row = 0; row < rows; row++) {
      const long id = ids[row];
      if (id < 0 || id >= l.integers[i_vocabulary]) {
        worker.fault(row, id, l.integers[i_vocabulary]);
        return;
      }
      const real* d = dOut + row * width + from;
      real* token = tokens + id * width + from;
      for (long j = 0; j < count; j++) token[j] += d[j];
      if (places == nullptr) continue;
      const long position = positions[row];
      if (position < 0 || position >= l.integers[i_context]) {
        worker.fault(row, position, l.integers[i_context]);
        return;
      }
      real* place = places + position * width + from;
      for (long j = 0; j < count; j++) place[j] += d[j];
    }
  });
}
Scratch scratch_embeddingGradient(const Launch&, int) { return {}; }
