/** A graphics card in software for WebGPU: SwiftShader's Vulkan driver, which Debian's chromium brings, where no other card is. */
import { existsSync } from "node:fs"
import koffi from "koffi"

const folder = "/usr/lib/chromium"

/** Libraries that are held: others are unloaded. */
const held: Array<unknown> = []

/** Makes Vulkan's loader and driver known to this process, if they are there and none were named. */
export const useSwiftShader = (): void => {
  const driver = `${folder}/vk_swiftshader_icd.json`
  if (process.env["VK_DRIVER_FILES"] !== undefined || !existsSync(driver)) return
  process.env["VK_DRIVER_FILES"] = driver
  // Found again by its name, whoever asks for it next.
  held.push(koffi.load(`${folder}/libvulkan.so.1`))
}
