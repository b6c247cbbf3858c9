// A CUDA driver, NVRTC and cuBLASLt without a card, in one library: what the host side calls, with the rules of the real ones that can be checked here.
//
// - Memory of the "card" lies in this process, between guards, and is filled with NaN at first: what is not zeroed or is overrun shows.
// - A stream is a real queue: nothing is done before someone waits for it, so that pinned memory that is reused too early shows.
// - Launches are checked for geometry, shared memory, and parameters (sizes and pointers, by the kernel's declaration), then run by the kernels' emulator.
// - fake_set injects failures, fake_get tells what was done, fake_problems what was done wrong.
#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

using u64 = uint64_t;
using Address = u64;

namespace {

enum { success = 0, invalidValue = 1, outOfMemory = 2, notFound = 500, notReady = 600, tooManyResources = 701, launchFailed = 719, captureInvalid = 901 };
constexpr u64 guard = 4096;
constexpr uint8_t guardByte = 0xa5;
constexpr int sharedLimit = 232448;

std::recursive_mutex lock;
std::map<std::string, int64_t> settings = {{"memory", int64_t(1) << 30}, {"failKernel", -1}, {"algorithms", 1}, {"capability", 90}, {"cards", 1}, {"version", 12040}, {"compileError", 0}};
std::map<std::string, int64_t> counts;
std::vector<std::string> problems;
int sticky = success;
u64 current = 0;  // The context: 0xc0 and the card's ordinal.

void problem(const std::string& text) { problems.push_back(text); }

// Memory.
struct Block {
  u64 bytes;
  bool device;
  void* raw;
  u64 context;
};
std::map<Address, Block> blocks;

Address allocate(u64 bytes, bool device) {
  void* raw = malloc(bytes + 2 * guard + 512);
  Address at = (Address(raw) + guard + 255) / 256 * 256;
  memset((void*)(at - guard), guardByte, guard);
  memset((void*)at, 0xff, bytes);
  memset((void*)(at + bytes), guardByte, guard);
  blocks[at] = {bytes, device, raw, current};
  if (current == 0) problem("memory is allocated in no context");
  if (device) counts["deviceBytes"] += int64_t(bytes);
  counts["blocks"]++;
  return at;
}
bool whole(Address at, const Block& block) {
  for (u64 i = 0; i < guard; i++) {
    if (((uint8_t*)(at - guard))[i] != guardByte || ((uint8_t*)(at + block.bytes))[i] != guardByte) return false;
  }
  return true;
}
const std::pair<const Address, Block>* blockOf(Address at) {
  auto after = blocks.upper_bound(at);
  if (after == blocks.begin()) return nullptr;
  --after;
  return at < after->first + std::max<u64>(after->second.bytes, 1) ? &*after : nullptr;
}
bool inside(Address at, u64 bytes, bool device) {
  auto block = blockOf(at);
  return block != nullptr && block->second.device == device && at + bytes <= block->first + block->second.bytes;
}

// Kernels, as the fake compiler leaves them in an image.
struct Kernel {
  std::string file, name;
  int threads;
  std::vector<std::pair<int, bool>> parameters;  // Size in bytes, and whether it is a pointer.
  int shared = 48 * 1024;
};
struct Module {
  std::map<std::string, Kernel> kernels;
};

using Emulate = int32_t (*)(const char*, const uint32_t*, const uint32_t*, uint32_t, void* const*, uint32_t);
struct Emulator {
  Emulate run;
  const char* (*error)();
};
std::map<std::string, Emulator> emulators;  // By the kernels' file.

// Streams.
using Work = std::function<int()>;
struct Graph {
  std::vector<Work> works;
};
struct Stream {
  std::deque<Work> queue;
  Graph* recording = nullptr;
  u64 context = current;
};
void inContext(u64 context) {
  if (context == 0 || context != current) problem("a call is made in another card's context");
}
std::set<Stream*> streams;
struct Event {
  bool reached = true;
};

int enqueue(Stream* stream, Work work) {
  inContext(stream->context);
  if (sticky != success) return sticky;
  if (stream->recording != nullptr) stream->recording->works.push_back(std::move(work));
  else stream->queue.push_back(std::move(work));
  return success;
}
void advance(size_t steps) {
  for (Stream* stream : streams) {
    for (size_t i = 0; i < steps && !stream->queue.empty(); i++) {
      Work work = std::move(stream->queue.front());
      stream->queue.pop_front();
      int status = sticky == success ? work() : sticky;
      if (status != success) sticky = status;
    }
  }
}
void finish() {
  for (Stream* stream : streams) {
    if (stream->recording != nullptr) problem("waited for a stream that is being recorded");
    while (!stream->queue.empty()) advance(1);
  }
}

int copyBytes(Address to, Address from, u64 bytes) {
  memcpy((void*)to, (void*)from, bytes);
  return success;
}

int runKernel(const Kernel& kernel, const uint32_t* grid, const uint32_t* block, uint32_t shared, const std::vector<u64>& values) {
  if (settings["failKernel"] >= 0 && settings["failKernel"]-- == 0) return launchFailed;
  counts["kernels"]++;
  std::vector<void*> table;
  for (size_t i = 0; i < values.size(); i++) {
    table.push_back((void*)&values[i]);
    if (!kernel.parameters[i].second || values[i] == 0) continue;
    auto at = blockOf(values[i]);
    if (at == nullptr || !at->second.device) {
      problem(kernel.name + ": parameter " + std::to_string(i) + " points at no memory of the card");
      return launchFailed;
    }
  }
  auto emulator = emulators.find(kernel.file);
  if (emulator == emulators.end()) return success;
  if (emulator->second.run(kernel.name.c_str(), grid, block, shared, table.data(), uint32_t(settings["seed"])) == 0) return success;
  problem(kernel.name + ": " + emulator->second.error());
  return launchFailed;
}

float bf16(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float value;
  memcpy(&value, &wide, 4);
  return value;
}

// cuBLASLt's objects.
struct Description {
  int compute, scale;
  int32_t transA = 0, transB = 0, epilogue = 1;
  u64 bias = 0;
};
struct Layout {
  int type;
  u64 rows, columns;
  int64_t leading;
};
struct Preference {
  std::map<int, u64> values;
};
struct Algorithm {
  u64 magic, m, n, k;
  uint32_t alignments[4];
};
constexpr u64 magic = 0x70746d666c6f77;

}  // namespace

extern "C" {

// Of the test.
void fake_set(const char* name, int64_t value) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  settings[name] = value;
  if (strcmp(name, "sticky") == 0) sticky = int(value);
}
int64_t fake_get(const char* name) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  return counts[name];
}
const char* fake_problems() {
  static std::string all;
  std::lock_guard<std::recursive_mutex> hold(lock);
  for (auto& [at, block] : blocks) {
    if (!whole(at, block)) problem("something wrote outside a memory of " + std::to_string(block.bytes) + " bytes");
  }
  all.clear();
  for (auto& each : problems) all += each + "\n";
  problems.clear();
  return all.c_str();
}
int fake_emulator(const char* file, const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return 1;
  emulators[file] = {(Emulate)dlsym(library, "ptm_emulate"), (const char* (*)())dlsym(library, "ptm_emulate_error")};
  return emulators[file].run == nullptr ? 2 : 0;
}

// The driver. In a process that no test has set up, the emulators are $FAKE_CUDA_EMULATORS/<kernel file>.so.
int cuInit(uint32_t) {
  const char* folder = getenv("FAKE_CUDA_EMULATORS");
  if (folder == nullptr) return success;
  for (const char* file : {"attention.cu", "attention-bf16.cu", "decode.cu", "elementwise.cu", "embedding.cu", "lmhead.cu", "matmul.cu", "norm.cu", "optimizer.cu", "sample.cu"}) {
    fake_emulator(file, (std::string(folder) + "/" + file + ".so").c_str());
  }
  return success;
}
#ifndef ONLY_INIT
int cuDriverGetVersion(int* version) { return *version = int(settings["version"]), success; }
int cuGetErrorName(int error, const char** name) {
  *name = error == outOfMemory ? "CUDA_ERROR_OUT_OF_MEMORY" : error == launchFailed ? "CUDA_ERROR_LAUNCH_FAILED" : error == notFound ? "CUDA_ERROR_NOT_FOUND" : "CUDA_ERROR_INVALID_VALUE";
  return success;
}
int cuGetErrorString(int error, const char** text) {
  *text = error == launchFailed ? "unspecified launch failure" : "an error of the fake driver";
  return success;
}
int cuDeviceGetCount(int* count) { return *count = int(settings["cards"]), success; }
int cuDeviceGet(int* device, int ordinal) { return *device = ordinal, ordinal < settings["cards"] ? success : invalidValue; }
int cuDeviceGetName(char* name, int length, int) { return strncpy(name, "Fake H100", size_t(length)), success; }
int cuDeviceTotalMem_v2(u64* bytes, int) { return *bytes = u64(settings["memory"]), success; }
int cuDeviceGetAttribute(int* value, int attribute, int) {
  switch (attribute) {
    case 13: return *value = 1980000, success;
    case 16: return *value = 6, success;
    case 75: return *value = int(settings["capability"] / 10), success;
    case 76: return *value = int(settings["capability"] % 10), success;
    case 97: return *value = sharedLimit, success;
  }
  return invalidValue;
}
int cuDevicePrimaryCtxRetain(u64* context, int ordinal) { return counts["contexts"]++, *context = u64(0xc0 + ordinal), success; }
int cuDevicePrimaryCtxRelease_v2(int) { return counts["contexts"]--, success; }
int cuCtxSetCurrent(u64 context) { return current = context, success; }
int cuMemGetInfo_v2(u64* free, u64* total) {
  *total = u64(settings["memory"]);
  *free = *total - u64(counts["deviceBytes"]);
  return success;
}
int cuMemAlloc_v2(u64* pointer, u64 bytes) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  if (sticky != success) return sticky;
  if (bytes == 0) return invalidValue;
  if (counts["deviceBytes"] + int64_t(bytes) > settings["memory"]) return outOfMemory;
  return *pointer = allocate(bytes, true), success;
}
int cuMemFree_v2(u64 pointer) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  finish();
  auto at = blocks.find(pointer);
  if (at == blocks.end()) return problem("memory is freed that is not there"), invalidValue;
  inContext(at->second.context);
  if (!whole(at->first, at->second)) problem("something wrote outside a memory of " + std::to_string(at->second.bytes) + " bytes");
  if (at->second.device) counts["deviceBytes"] -= int64_t(at->second.bytes);
  counts["blocks"]--;
  free(at->second.raw);
  blocks.erase(at);
  return success;
}
int cuMemHostAlloc(u64* pointer, u64 bytes, uint32_t) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  return *pointer = allocate(bytes, false), success;
}
int cuMemFreeHost(u64 pointer) { return cuMemFree_v2(pointer); }
int cuMemcpyHtoDAsync_v2(u64 to, u64 from, u64 bytes, Stream* stream) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  if (!inside(to, bytes, true) || !inside(from, bytes, false)) return problem("a copy to the card is outside of memory"), invalidValue;
  return enqueue(stream, [=] { return copyBytes(to, from, bytes); });
}
int cuMemcpyDtoHAsync_v2(u64 to, u64 from, u64 bytes, Stream* stream) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  if (!inside(to, bytes, false) || !inside(from, bytes, true)) return problem("a copy from the card is outside of memory"), invalidValue;
  return enqueue(stream, [=] { return copyBytes(to, from, bytes); });
}
int cuMemsetD8Async(u64 at, uint8_t value, u64 bytes, Stream* stream) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  if (!inside(at, bytes, true)) return problem("zeroing is outside of memory"), invalidValue;
  return enqueue(stream, [=] { return memset((void*)at, value, bytes), success; });
}
int cuStreamCreate(Stream** stream, uint32_t) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  streams.insert(*stream = new Stream);
  return success;
}
int cuStreamDestroy_v2(Stream* stream) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  streams.erase(stream);
  delete stream;
  return success;
}
int cuStreamSynchronize(Stream*) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  finish();
  return sticky;
}
int cuStreamBeginCapture_v2(Stream* stream, int) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  if (stream->recording != nullptr) return captureInvalid;
  stream->recording = new Graph;
  return success;
}
int cuStreamEndCapture(Stream* stream, Graph** graph) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  if (stream->recording == nullptr) return captureInvalid;
  *graph = stream->recording;
  stream->recording = nullptr;
  counts["graphs"]++;
  return success;
}
int cuGraphInstantiateWithFlags(Graph** executable, Graph* graph, u64) { return counts["executables"]++, *executable = new Graph(*graph), success; }
int cuGraphUpload(Graph*, Stream*) { return success; }
int cuGraphLaunch(Graph* graph, Stream* stream) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  counts["replays"]++;
  return enqueue(stream, [graph] {
    for (auto& work : graph->works) {
      if (int status = work(); status != success) return status;
    }
    return int(success);
  });
}
int cuGraphDestroy(Graph* graph) { return counts["graphs"]--, delete graph, success; }
int cuGraphExecDestroy(Graph* graph) { return counts["executables"]--, delete graph, success; }
int cuEventCreate(Event** event, uint32_t) { return counts["events"]++, *event = new Event, success; }
int cuEventDestroy_v2(Event* event) { return counts["events"]--, delete event, success; }
int cuEventRecord(Event* event, Stream* stream) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  event->reached = false;
  return enqueue(stream, [event] { return event->reached = true, int(success); });
}
int cuEventQuery(Event* event) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  if (sticky != success) return sticky;
  if (event->reached) return success;
  advance(1);
  return sticky != success ? sticky : notReady;
}
int cuModuleLoadData(Module** module, const char* image) {
  const char* head = "FAKE CUBIN\n";
  if (strncmp(image, head, strlen(head)) != 0) return 200;
  *module = new Module;
  std::istringstream text(image + strlen(head));
  std::string file, line;
  std::getline(text, file);
  while (std::getline(text, line)) {
    std::istringstream words(line);
    Kernel kernel{file, "", 0, {}};
    words >> kernel.name >> kernel.threads;
    for (std::string size; words >> size;) kernel.parameters.push_back({size[0] - '0', size.size() == 2});
    if (!kernel.name.empty() && kernel.threads > 0) (*module)->kernels[kernel.name] = kernel;
  }
  counts["modules"]++;
  return success;
}
int cuModuleUnload(Module* module) { return counts["modules"]--, delete module, success; }
int cuModuleGetFunction(Kernel** kernel, Module* module, const char* name) {
  auto found = module->kernels.find(name);
  if (found == module->kernels.end()) return notFound;
  *kernel = &found->second;
  return success;
}
int cuFuncSetAttribute(Kernel* kernel, int attribute, int value) {
  if (attribute != 8 || value > sharedLimit) return invalidValue;
  kernel->shared = value;
  return success;
}
int cuLaunchKernel(Kernel* kernel, uint32_t gx, uint32_t gy, uint32_t gz, uint32_t bx, uint32_t by, uint32_t bz, uint32_t shared, Stream* stream, void** parameters, void**) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  const std::vector<uint32_t> grid = {gx, gy, gz}, block = {bx, by, bz};
  auto refuse = [&](const char* why, int status) {
    problem(kernel->name + ": " + why + ": grid " + std::to_string(gx) + "," + std::to_string(gy) + "," + std::to_string(gz) + " block " + std::to_string(bx) + "," + std::to_string(by) +
            "," + std::to_string(bz) + " shared " + std::to_string(shared));
    return status;
  };
  if (gx == 0 || gy == 0 || gz == 0 || gx > 0x7fffffff || gy > 65535 || gz > 65535) return refuse("grid out of range", invalidValue);
  if (bx == 0 || by == 0 || bz == 0 || bz > 64 || u64(bx) * by * bz > 1024) return refuse("block out of range", invalidValue);
  if (u64(bx) * by * bz > u64(kernel->threads)) return refuse("block larger than its launch bounds", tooManyResources);
  if (shared > uint32_t(kernel->shared)) return refuse("more shared memory than it asked for", invalidValue);
  std::vector<u64> values;
  for (size_t i = 0; i < kernel->parameters.size(); i++) {
    u64 value = 0;
    memcpy(&value, parameters[i], size_t(kernel->parameters[i].first));
    values.push_back(value);
  }
  counts["launches"]++;
  const Kernel copy = *kernel;
  return enqueue(stream, [=] { return runKernel(copy, grid.data(), block.data(), shared, values); });
}

// NVRTC.
struct Compilation {
  std::string name, source, log, image;
};
// What a macro without parameters stands for, if a text is the name of one.
static std::string defined(const std::string& source, const std::string& name) {
  const std::string directive = "#define " + name + " ";
  const size_t at = source.find(directive);
  if (at == std::string::npos) return name;
  size_t end = source.find('\n', at);
  while (source[end - 1] == '\\') end = source.find('\n', end + 1);
  return source.substr(at + directive.size(), end - at - directive.size());
}
int nvrtcVersion(int* major, int* minor) { return *major = 12, *minor = 4, 0; }
int nvrtcGetNumSupportedArchs(int* count) { return *count = 2, 0; }
int nvrtcGetSupportedArchs(int* architectures) { return architectures[0] = 80, architectures[1] = 90, 0; }
int nvrtcCreateProgram(Compilation** program, const char* source, const char* name, int headers, const char* const* texts, const char* const* names) {
  *program = new Compilation{name, source, "", ""};
  const std::string text = source, directive = "#include \"";
  for (size_t at = text.find(directive); at != std::string::npos; at = text.find(directive, at + 1)) {
    const size_t from = at + directive.size();
    const std::string wanted = text.substr(from, text.find('"', from) - from);
    bool given = false;
    for (int i = 0; i < headers; i++) given = given || (wanted == names[i] && texts[i][0] != '\0');
    if (!given) (*program)->log += "error: cannot open source file \"" + wanted + "\"\n";
  }
  return 0;
}
int nvrtcCompileProgram(Compilation* program, int count, const char* const* options) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  counts["compilations"]++;
  if (settings["compileError"] != 0) program->log += "file.cu(3): error: identifier \"x\" is undefined\nfile.cu(4): warning: y\n";
  if (count == 0 || std::string(options[0]).rfind("--gpu-architecture=", 0) != 0) program->log += "error: no architecture\n";
  if (!program->log.empty()) return 6;
  program->image = "FAKE CUBIN\n" + program->name + "\n";
  const std::string& text = program->source;
  const std::string head = "\nKERNEL(";
  for (size_t at = text.find(head); at != std::string::npos; at = text.find(head, at + 1)) {
    const size_t name = text.find(") ", at) + 2, open = text.find('(', name), close = text.find(')', open);
    program->image += text.substr(name, open - name) + " " + std::to_string(atoi(text.c_str() + at + head.size()));
    std::istringstream parameters(defined(text, text.substr(open + 1, close - open - 1)));
    for (std::string each; std::getline(parameters, each, ',');) {
      const bool pointer = each.find('*') != std::string::npos;
      const bool wide = pointer || each.find("i64 ") != std::string::npos || each.find("u64 ") != std::string::npos || each.find("double ") != std::string::npos;
      program->image += std::string(" ") + (wide ? "8" : "4") + (pointer ? "p" : "");
    }
    program->image += "\n";
  }
  return 0;
}
int nvrtcDestroyProgram(Compilation** program) { return delete *program, *program = nullptr, 0; }
int nvrtcGetProgramLogSize(Compilation* program, u64* bytes) { return *bytes = program->log.size() + 1, 0; }
int nvrtcGetProgramLog(Compilation* program, char* log) { return memcpy(log, program->log.c_str(), program->log.size() + 1), 0; }
int nvrtcGetCUBINSize(Compilation* program, u64* bytes) { return *bytes = program->image.size() + 1, 0; }
int nvrtcGetCUBIN(Compilation* program, char* image) { return memcpy(image, program->image.c_str(), program->image.size() + 1), 0; }
int nvrtcGetPTXSize(Compilation* program, u64* bytes) { return nvrtcGetCUBINSize(program, bytes); }
int nvrtcGetPTX(Compilation* program, char* image) { return nvrtcGetCUBIN(program, image); }

// cuBLASLt.
int cublasLtCreate(u64* handle) { return counts["handles"]++, *handle = 0xb1a5, 0; }
int cublasLtDestroy(u64) { return counts["handles"]--, 0; }
int cublasLtMatmulDescCreate(Description** description, int compute, int scale) { return counts["descriptors"]++, *description = new Description{compute, scale}, 0; }
int cublasLtMatmulDescDestroy(Description* description) { return counts["descriptors"]--, delete description, 0; }
int cublasLtMatmulDescSetAttribute(Description* description, int attribute, const void* value, u64 bytes) {
  if (attribute == 8 ? bytes != 8 : bytes != 4) return 7;
  switch (attribute) {
    case 3: return memcpy(&description->transA, value, 4), 0;
    case 4: return memcpy(&description->transB, value, 4), 0;
    case 7: return memcpy(&description->epilogue, value, 4), 0;
    case 8: return memcpy(&description->bias, value, 8), 0;
  }
  return 7;
}
int cublasLtMatrixLayoutCreate(Layout** layout, int type, u64 rows, u64 columns, int64_t leading) {
  counts["descriptors"]++;
  *layout = new Layout{type, rows, columns, leading};
  return leading >= int64_t(rows) ? 0 : 7;
}
int cublasLtMatrixLayoutDestroy(Layout* layout) { return counts["descriptors"]--, delete layout, 0; }
int cublasLtMatmulPreferenceCreate(Preference** preference) { return counts["descriptors"]++, *preference = new Preference, 0; }
int cublasLtMatmulPreferenceDestroy(Preference* preference) { return counts["descriptors"]--, delete preference, 0; }
int cublasLtMatmulPreferenceSetAttribute(Preference* preference, int attribute, const void* value, u64 bytes) {
  if (bytes != (attribute == 1 ? 8u : 4u)) return 7;
  u64 word = 0;
  memcpy(&word, value, bytes);
  preference->values[attribute] = word;
  return 0;
}
int cublasLtMatmulAlgoGetHeuristic(u64, Description* description, Layout* a, Layout* b, Layout* c, Layout* d, Preference* preference, int wanted, uint8_t* results, int* found) {
  counts["heuristics"]++;
  *found = 0;
  const u64 m = d->rows, n = d->columns, k = description->transA ? a->rows : a->columns;
  const bool fits = (description->transA ? a->columns : a->rows) == m && (description->transB ? b->rows : b->columns) == n && (description->transB ? b->columns : b->rows) == k &&
                    c->rows == m && c->columns == n && c->type == d->type;
  if (!fits) return problem("cuBLASLt: layouts do not fit each other"), 7;
  // Only reductions in a fixed order, in f32; tf32 has its own compute type.
  if (preference->values[3] != 2 || description->compute != 68 || description->scale != 0 || wanted != 1) return problem("cuBLASLt: not deterministic f32"), 7;
  if (settings["algorithms"] == 0) return 15;
  Algorithm algorithm{magic, m, n, k, {}};
  for (int i = 0; i < 4; i++) algorithm.alignments[i] = preference->values.count(5 + i) ? uint32_t(preference->values[5 + i]) : 256;
  memset(results, 0, 96);
  memcpy(results, &algorithm, sizeof algorithm);
  *found = 1;
  return 0;
}
int cublasLtMatmul(u64, Description* description, const float* alpha, u64 a, Layout* la, u64 b, Layout* lb, const float* beta, u64 c, Layout* lc, u64 d, Layout* ld, const uint8_t* algorithm,
                   u64 workspace, u64 workspaceBytes, Stream* stream) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  Algorithm chosen;
  memcpy(&chosen, algorithm, sizeof chosen);
  const u64 m = ld->rows, n = ld->columns, k = description->transA ? la->rows : la->columns;
  if (chosen.magic != magic || chosen.m != m || chosen.n != n || chosen.k != k) return problem("cuBLASLt: the algorithm is of another product"), 7;
  const u64 at[4] = {a, b, c, d};
  for (int i = 0; i < 4; i++) {
    if (at[i] % chosen.alignments[i] != 0) return problem("cuBLASLt: less aligned than was said"), 7;
  }
  const Description what = *description;
  const Layout A = *la, B = *lb;
  const u64 width = A.type == 14 ? 2 : 4;
  if (lc->type != 0 || ld->type != 0 || A.type != B.type || c != d) return problem("cuBLASLt: types that are not used here"), 15;
  if (!inside(workspace, workspaceBytes, true) || !inside(a, width * m * k, true) || !inside(b, width * n * k, true) || !inside(d, 4 * m * n, true) ||
      (what.epilogue == 4 && !inside(what.bias, 4 * m, true))) {
    return problem("cuBLASLt: a matrix is outside of memory"), 7;
  }
  const float scale = *alpha, keep = *beta;
  counts["products"]++;
  return enqueue(stream, [=] {
    auto element = [](u64 base, const Layout& layout, u64 row, u64 column) {
      const u64 index = row + column * u64(layout.leading);
      return layout.type == 14 ? bf16(((const uint16_t*)base)[index]) : ((const float*)base)[index];
    };
    float* out = (float*)d;
    for (u64 column = 0; column < n; column++) {
      for (u64 row = 0; row < m; row++) {
        double sum = 0;
        for (u64 i = 0; i < k; i++) {
          sum += double(what.transA ? element(a, A, i, row) : element(a, A, row, i)) * double(what.transB ? element(b, B, column, i) : element(b, B, i, column));
        }
        float* to = out + row + column * m;
        const float bias = what.epilogue == 4 ? ((const float*)what.bias)[row] : 0.0f;
        *to = scale * float(sum) + (keep == 0 ? 0.0f : keep * *to) + bias;
      }
    }
    return int(success);
  });
}
#endif
}
