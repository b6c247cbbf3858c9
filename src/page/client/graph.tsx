/**
 * A graph that one can walk: drawn in layers, moved by pointer, wheel and keys, searched, and read by a screen reader node by node.
 *
 * @since 0.1.0
 */
import type { ComponentChildren } from "preact"
import { useEffect, useMemo, useRef, useState } from "preact/hooks"
import { type Box, layout } from "./layout.ts"

/** A node: `tone` is the class that colours it, `parts` a bar of shares (class, share of 1) below its text. */
export interface GraphNode {
  readonly id: string
  readonly label: string
  readonly note: string
  readonly tone: string
  readonly parts: ReadonlyArray<readonly [string, number]>
  readonly title: string
}

interface Camera {
  readonly x: number
  readonly y: number
  readonly zoom: number
}

const ZOOM = { least: 0.04, most: 2.5, step: 1.25 }
const PAN = 80

/** The least zoom at which text is read without effort. */
const READABLE = 0.9
const BAR = 4

const clamp = (value: number, least: number, most: number) => Math.min(Math.max(value, least), most)

/** The node that an arrow key leads to: the nearest one that lies in that direction. */
const beside = (boxes: ReadonlyMap<string, Box>, from: string, dx: number, dy: number): string | undefined => {
  const here = boxes.get(from)
  if (here === undefined) return undefined
  let best: readonly [string, number] | undefined
  for (const [id, box] of boxes) {
    const along = (box.x - here.x) * dx + (box.y - here.y) * dy
    const across = Math.abs((box.x - here.x) * dy) + Math.abs((box.y - here.y) * dx)
    if (id === from || along <= 1 || across > along * 3) continue
    const far = along + across * 2
    if (best === undefined || far < best[1]) best = [id, far]
  }
  return best?.[0]
}

const short = (text: string, width: number, each: number): string => {
  const most = Math.floor((width - 24) / each)
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`
}

const Node = (props: {
  readonly node: GraphNode
  readonly box: Box
  readonly chosen: boolean
  readonly faded: boolean
  readonly focusable: boolean
  readonly onChoose: () => void
}) => {
  const { box, chosen, faded, focusable, node, onChoose } = props
  const left = box.x - box.width / 2
  const top = box.y - box.height / 2
  let at = 0
  const inner = box.width - 20
  return (
    // biome-ignore lint/a11y/useSemanticElements: SVG has no button
    <g
      role="button"
      id={`node-${node.id}`}
      class={`node tone-${node.tone}${chosen ? " chosen" : ""}${faded ? " faded" : ""}`}
      transform={`translate(${left.toFixed(1)} ${top.toFixed(1)})`}
      tabindex={focusable ? 0 : -1}
      aria-label={node.title}
      aria-pressed={chosen}
      data-node={node.id}
      onClick={onChoose}
      onKeyDown={(event) => {
        if (event.key !== "Enter" && event.key !== " ") return
        event.preventDefault()
        onChoose()
      }}
    >
      <title>{node.title}</title>
      <rect class="box" width={box.width} height={box.height} rx="7" />
      <rect class="edge" width="4" height={box.height - 12} x="6" y="6" rx="2" />
      <text class="label" x="17" y="19">
        {short(node.label, box.width, 8)}
      </text>
      <text class="note" x="17" y="34">
        {short(node.note, box.width, 6.4)}
      </text>
      {node.parts.map(([tone, share]) => {
        const x = 10 + at * inner
        at += share
        return (
          <rect
            key={tone}
            class={`bar tone-${tone}`}
            x={x.toFixed(1)}
            y={box.height - BAR - 2}
            width={Math.max(share * inner, 1).toFixed(1)}
            height={BAR}
            rx="1"
          />
        )
      })}
    </g>
  )
}

/** Closes the panel beside a graph with Escape, from wherever in the two, and goes back to the node that it was of. */
export const closing = (close: () => void) => (event: KeyboardEvent & { readonly currentTarget: HTMLElement }) => {
  if (event.key !== "Escape" || event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement)
    return
  close()
  event.currentTarget.querySelector<SVGElement>('[data-node][tabindex="0"]')?.focus()
}

/** The graph. `onChoose` is told the node that a person takes. */
export const Graph = (props: {
  readonly label: string
  readonly nodes: ReadonlyArray<GraphNode>
  readonly edges: ReadonlyArray<readonly [string, string]>
  readonly chosen: string
  /** The node that is looked at first where none is chosen. */
  readonly start?: string | undefined
  readonly onChoose: (id: string) => void
  readonly children?: ComponentChildren
}) => {
  const { children, chosen, edges, label, nodes, onChoose, start } = props
  // What is drawn where depends on names alone: a state that changes moves nothing.
  const shape = JSON.stringify([nodes.map((node) => [node.id, node.label]), edges])
  // Shape says all of them that counts
  const drawn = useMemo(() => layout(nodes, edges), [shape])
  const frame = useRef<HTMLDivElement>(null)
  const canvas = useRef<SVGSVGElement>(null)
  const [camera, setCamera] = useState<Camera>({ x: 0, y: 0, zoom: 1 })
  const [sought, setSought] = useState("")
  const [at, setAt] = useState(chosen)
  const drag = useRef<{ readonly x: number; readonly y: number; moved: boolean } | undefined>(undefined)

  const size = () => frame.current?.getBoundingClientRect() ?? new DOMRect(0, 0, 800, 500)
  const showAll = () => {
    const { height, width } = size()
    const zoom = clamp(Math.min(width / drawn.width, height / drawn.height), ZOOM.least, 1)
    setCamera({ zoom, x: (width - drawn.width * zoom) / 2, y: (height - drawn.height * zoom) / 2 })
  }
  const zoomBy = (factor: number, centre?: { readonly x: number; readonly y: number }) => {
    const { height, width } = size()
    const { x, y } = centre ?? { x: width / 2, y: height / 2 }
    setCamera((old) => {
      const zoom = clamp(old.zoom * factor, ZOOM.least, ZOOM.most)
      const ratio = zoom / old.zoom
      return { zoom, x: x - (x - old.x) * ratio, y: y - (y - old.y) * ratio }
    })
  }
  /** Brings a node into view, and reads it at a size that can be read. */
  const bring = (id: string, near: boolean) => {
    const box = drawn.boxes.get(id)
    if (box === undefined) return
    const { height, width } = size()
    setCamera((old) => {
      const zoom = near ? Math.max(old.zoom, 0.9) : old.zoom
      const [x, y] = [box.x * zoom + old.x, box.y * zoom + old.y]
      const inside = x > 60 && x < width - 60 && y > 30 && y < height - 30 && zoom === old.zoom
      return inside ? old : { zoom, x: width / 2 - box.x * zoom, y: height / 2 - box.y * zoom }
    })
  }
  // What fits is shown whole; of what does not, the part around the node that counts, at a size that can be read.
  // Anew for another drawing only
  useEffect(() => {
    showAll()
    const { height, width } = size()
    const box = drawn.boxes.get(chosen) ?? drawn.boxes.get(start ?? "") ?? drawn.boxes.get(nodes[0]?.id ?? "")
    if (box === undefined || Math.min(width / drawn.width, height / drawn.height) >= READABLE) return
    const place = (centre: number, all: number, frame: number) =>
      all * READABLE <= frame
        ? (frame - all * READABLE) / 2
        : clamp(frame / 2 - centre * READABLE, frame - all * READABLE, 0)
    setCamera({
      zoom: READABLE,
      x: place(box.x, drawn.width, width),
      y: place(box.y, drawn.height, height)
    })
  }, [drawn])
  useEffect(() => {
    const element = canvas.current
    const wheel = (event: WheelEvent) => {
      event.preventDefault()
      const { left, top } = element!.getBoundingClientRect()
      zoomBy(Math.exp(-event.deltaY * 0.0015), { x: event.clientX - left, y: event.clientY - top })
    }
    element?.addEventListener("wheel", wheel, { passive: false })
    return () => element?.removeEventListener("wheel", wheel)
  })

  const wanted = sought.trim().toLowerCase()
  const found = wanted === "" ? [] : nodes.filter(({ title }) => title.toLowerCase().includes(wanted))
  const matches = new Set(found.map(({ id }) => id))
  const focusOn = (id: string) => {
    setAt(id)
    bring(id, true)
    requestAnimationFrame(() => document.getElementById(`node-${id}`)?.focus())
  }
  const keys = (event: KeyboardEvent) => {
    if (event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey) return
    const arrows: { readonly [key: string]: readonly [number, number] } = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1]
    }
    const arrow = arrows[event.key]
    if (arrow !== undefined) {
      event.preventDefault()
      if (event.shiftKey) {
        setCamera((old) => ({ ...old, x: old.x - arrow[0] * PAN, y: old.y - arrow[1] * PAN }))
        return
      }
      const next = beside(drawn.boxes, focusable, ...arrow)
      if (next !== undefined) {
        setAt(next)
        bring(next, false)
        requestAnimationFrame(() => document.getElementById(`node-${next}`)?.focus())
      }
    } else if (event.key === "+" || event.key === "=") zoomBy(ZOOM.step)
    else if (event.key === "-") zoomBy(1 / ZOOM.step)
    else if (event.key === "0") showAll()
    else if (event.key === "/") {
      event.preventDefault()
      frame.current?.parentElement?.querySelector("input")?.focus()
    }
  }
  const focusable = drawn.boxes.has(at) ? at : drawn.boxes.has(chosen) ? chosen : (nodes[0]?.id ?? "")

  const latest = useRef(onChoose)
  latest.current = onChoose
  // A thousand nodes are not looked at again when only the camera moves.
  const sheet = useMemo(
    () => (
      <>
        {drawn.edges.map(({ from, path, to }) => (
          <path
            key={`${from}\n${to}`}
            class={`link${from === chosen || to === chosen ? " near" : ""}${wanted === "" ? "" : " faded"}`}
            d={path}
            marker-end="url(#arrow)"
          />
        ))}
        {nodes.map((node) => {
          const box = drawn.boxes.get(node.id)
          return box === undefined ? null : (
            <Node
              key={node.id}
              node={node}
              box={box}
              chosen={node.id === chosen}
              faded={wanted !== "" && !matches.has(node.id)}
              focusable={node.id === focusable}
              onChoose={() => {
                setAt(node.id)
                latest.current(node.id)
              }}
            />
          )
        })}
      </>
    ),
    [drawn, JSON.stringify(nodes), chosen, wanted, focusable]
  )

  return (
    <section class="graph" aria-label={label}>
      <div class="bar">
        <form
          onSubmit={(event) => {
            event.preventDefault()
            const next = found[(found.findIndex(({ id }) => id === at) + 1) % Math.max(found.length, 1)]
            if (next !== undefined) focusOn(next.id)
          }}
        >
          <input
            type="search"
            placeholder="Search  /"
            aria-label={`Search ${label}`}
            value={sought}
            onInput={(event) => setSought(event.currentTarget.value)}
          />
          <span class="faint" role="status">
            {wanted === "" ? "" : `${found.length} found`}
          </span>
        </form>
        {children}
        <span class="spread" />
        <div class="buttons">
          <button type="button" aria-label="Zoom out" onClick={() => zoomBy(1 / ZOOM.step)}>
            −
          </button>
          <button type="button" aria-label="Zoom in" onClick={() => zoomBy(ZOOM.step)}>
            +
          </button>
          <button type="button" onClick={showAll}>
            Fit
          </button>
        </div>
      </div>
      <div class="frame" ref={frame}>
        <svg
          ref={canvas}
          class="canvas"
          aria-label={`${label}: arrow keys go from node to node, Enter opens, plus, minus and 0 zoom, / searches`}
          onKeyDown={keys}
          onPointerDown={(event) => {
            if (event.button === 0) drag.current = { x: event.clientX, y: event.clientY, moved: false }
          }}
          onPointerMove={(event) => {
            const from = drag.current
            if (from === undefined) return
            const [dx, dy] = [event.clientX - from.x, event.clientY - from.y]
            if (!from.moved && Math.abs(dx) + Math.abs(dy) < 4) return
            if (!from.moved) event.currentTarget.setPointerCapture(event.pointerId)
            drag.current = { x: event.clientX, y: event.clientY, moved: true }
            setCamera((old) => ({ ...old, x: old.x + dx, y: old.y + dy }))
          }}
          onPointerUp={() => {
            drag.current = undefined
          }}
          onPointerCancel={() => {
            drag.current = undefined
          }}
        >
          <defs>
            <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
              <path d="M0 0.5L7 4L0 7.5z" />
            </marker>
          </defs>
          <g transform={`translate(${camera.x.toFixed(1)} ${camera.y.toFixed(1)}) scale(${camera.zoom.toFixed(4)})`}>
            {sheet}
          </g>
        </svg>
      </div>
    </section>
  )
}
