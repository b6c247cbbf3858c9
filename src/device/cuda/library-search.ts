/**
 * Where CUDA's libraries lie. They are opened at run time, so that nothing of CUDA is needed to install or to build.
 *
 * @since 0.1.0
 */
import { existsSync, readdirSync } from "node:fs"
import { homedir } from "node:os"
import { delimiter, dirname, join } from "node:path"

/** The library of the driver, of the compiler and of matrix products. */
export type LibraryName = "driver" | "nvrtc" | "cublasLt"

interface LibraryKind {
  /** What it is, in a message. */
  readonly title: string
  /** Its file names by CUDA's major version, newest first; that of the driver has none. */
  readonly files: ReadonlyArray<{ readonly file: string; readonly major: number | null }>
  /** How to get it. */
  readonly remedy: string
}

/** What is looked for. */
export const libraries: { readonly [N in LibraryName]: LibraryKind } = {
  driver: {
    title: "the NVIDIA driver",
    files: [{ file: "libcuda.so.1", major: null }],
    remedy:
      "install the NVIDIA driver of the card (in a container: run it with the NVIDIA container toolkit, --gpus all)"
  },
  nvrtc: {
    title: "NVRTC, which compiles the kernels",
    files: [
      { file: "libnvrtc.so.13", major: 13 },
      { file: "libnvrtc.so.12", major: 12 }
    ],
    remedy:
      "install the CUDA toolkit and set CUDA_HOME to it, or `pip install nvidia-cuda-nvrtc` (driver for CUDA 13) or `nvidia-cuda-nvrtc-cu12`"
  },
  cublasLt: {
    title: "cuBLASLt, which computes matrix products",
    files: [
      { file: "libcublasLt.so.13", major: 13 },
      { file: "libcublasLt.so.12", major: 12 }
    ],
    remedy:
      "install the CUDA toolkit and set CUDA_HOME to it, or `pip install nvidia-cublas` (driver for CUDA 13) or `nvidia-cublas-cu12`"
  }
}

/** A library's path, and the major version of CUDA that its name tells. */
export interface FoundLibrary {
  readonly path: string
  readonly major: number | null
}

/** What decides where is looked. Default: this process's environment, and the folders where distributions and installers put libraries. */
export interface SearchOptions {
  readonly environment?: { readonly [name: string]: string | undefined }
  readonly usualFolders?: ReadonlyArray<string>
}

const listed = (folder: string): ReadonlyArray<string> => {
  try {
    return readdirSync(folder).sort().reverse()
  } catch {
    return []
  }
}

/** The folders of `parent` whose names start so, newest name first. */
const within = (parent: string, start: string) =>
  listed(parent)
    .filter((name) => name.startsWith(start))
    .map((name) => join(parent, name))

const split = (path: string | undefined) => (path ?? "").split(delimiter).filter((part) => part !== "")

/** The library folders of a toolkit. */
const ofToolkit = (root: string) => [
  join(root, "lib64"),
  ...within(join(root, "targets"), process.arch === "arm64" ? "sbsa" : "x86_64").map((target) => join(target, "lib")),
  join(root, "lib")
]

/** Debian's and Ubuntu's libraries, those of other distributions, WSL's driver, NixOS's, and toolkits. */
const usual = (): ReadonlyArray<string> => [
  ...ofToolkit("/usr/local/cuda"),
  ...within("/usr/local", "cuda-").flatMap(ofToolkit),
  ...ofToolkit("/opt/cuda"),
  `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`,
  "/usr/lib64",
  "/usr/lib",
  "/usr/lib/wsl/lib",
  "/usr/local/nvidia/lib64",
  "/run/opengl-driver/lib"
]

/** Folders of Python packages: of PYTHONPATH, of the environment in use, of the Python on PATH, of the user and of the system. */
const sitePackages = (environment: NonNullable<SearchOptions["environment"]>): ReadonlyArray<string> => {
  const path = split(environment["PATH"]).find((folder) => existsSync(join(folder, "python3")))
  const roots = [
    environment["VIRTUAL_ENV"],
    environment["CONDA_PREFIX"],
    path === undefined ? undefined : dirname(path),
    join(environment["HOME"] ?? homedir(), ".local"),
    "/usr/local",
    "/usr"
  ].filter((root) => root !== undefined && root !== "")
  const pythons = roots.flatMap((root) => within(join(root!, "lib"), "python3"))
  return [
    ...split(environment["PYTHONPATH"]),
    ...pythons.flatMap((python) => [join(python, "site-packages"), join(python, "dist-packages")])
  ]
}

/** The folders that are searched, first those that a person named; those that do not exist are left out. */
export const searchFolders = (options: SearchOptions = {}): ReadonlyArray<string> => {
  const environment = options.environment ?? process.env
  const toolkits = [environment["CUDA_HOME"], environment["CUDA_PATH"]].filter((root) => root !== undefined)
  const conda = environment["CONDA_PREFIX"]
  const wheels = sitePackages(environment).flatMap((site) =>
    within(join(site, "nvidia"), "").map((package_) => join(package_, "lib"))
  )
  const folders = [
    ...split(environment["LD_LIBRARY_PATH"]),
    ...toolkits.flatMap((root) => ofToolkit(root!)),
    ...(conda === undefined ? [] : [join(conda, "lib")]),
    ...(options.usualFolders ?? usual()),
    ...wheels
  ]
  return [...new Set(folders)].filter((folder) => existsSync(folder))
}

/**
 * The newest library that a driver of CUDA `newest` (major version; default: any) can work with; of two of one version, the one whose folder comes first.
 */
export const findLibrary = (
  name: LibraryName,
  folders: ReadonlyArray<string>,
  newest = Number.POSITIVE_INFINITY
): FoundLibrary | null => {
  for (const { file, major } of libraries[name].files) {
    if (major !== null && major > newest) continue
    for (const folder of folders) {
      const path = join(folder, file)
      if (existsSync(path)) return { path, major }
    }
  }
  return null
}

/** What to tell a person who lacks a library: which, where was looked, and how to get it. */
export const missingLibrary = (
  name: LibraryName,
  folders: ReadonlyArray<string>,
  newest = Number.POSITIVE_INFINITY
): string => {
  const { files, remedy, title } = libraries[name]
  const wanted = files.filter(({ major }) => major === null || major <= newest).map(({ file }) => file)
  const looked = folders.length === 0 ? "no folder that exists" : folders.join(", ")
  return `${wanted.join(" or ")} (${title}) is not found: ${remedy}. Looked in LD_LIBRARY_PATH, CUDA_HOME, CUDA_PATH, the usual folders and Python's nvidia packages: ${looked}`
}
