/** The land of Natural Earth, out of the file that the build carries. */
import { feature } from "topojson-client";
import type { GeometryCollection, Topology } from "topojson-specification";
import landUrl from "world-atlas/land-50m.json?url";

export async function readLand(): Promise<GeoJSON.FeatureCollection> {
  const topology = (await (await fetch(landUrl)).json()) as Topology<{ land: GeometryCollection }>;
  const land = feature(topology, topology.objects.land);
  const polygons = land.features.flatMap(({ geometry }) => {
    if (geometry.type === "MultiPolygon") return geometry.coordinates;
    return geometry.type === "Polygon" ? [geometry.coordinates] : [];
  });
  return {
    type: "FeatureCollection",
    features: polygons.flatMap(flattened).map((coordinates) => ({
      type: "Feature",
      properties: {},
      geometry: { type: "Polygon", coordinates },
    })),
  };
}

type Ring = GeoJSON.Position[];

/** The flat map ends here; a pole itself lies at infinity. */
const NEAR_POLE = 85;
/** Just short of the 180th meridian, so that no piece lies on both sides of it. */
const EDGE = 179.999;

/** The file's rings lie on a globe; lay a polygon out flat and cut it where it crosses the 180th meridian. */
function flattened(rings: Ring[]): Ring[][] {
  const flat = rings.filter((ring) => ring.some(([, y]) => Math.abs(y!) < NEAR_POLE)).map(unrolled);
  if (flat[0]!.every(([x]) => Math.abs(x!) <= EDGE)) return [flat];
  return [-360, 0, 360]
    .map((turn) => flat.map((ring) => cut(cut(ring.map(([x, y]) => [x! + turn, y!]), -EDGE, 1), EDGE, -1)))
    .map((pieces) => pieces.filter((ring) => ring.length > 3))
    .filter((pieces) => pieces.length);
}

/** Let a ring run on past the 180th meridian; one about a pole is closed along the pole. */
function unrolled(ring: Ring): Ring {
  let turn = 0;
  const flat: Ring = ring.map(([x, y], index) => {
    const step = index ? x! - ring[index - 1]![0]! : 0;
    if (Math.abs(step) > 180) turn -= Math.sign(step) * 360;
    return [x! + turn, Math.max(-NEAR_POLE, Math.min(NEAR_POLE, y!))];
  });
  if (turn === 0) return flat;
  const pole = Math.sign(flat[0]![1]!) * NEAR_POLE;
  return [...flat, [flat.at(-1)![0]!, pole], [flat[0]![0]!, pole], flat[0]!];
}

/** Keep the part of a closed ring that lies east (side 1) or west (side -1) of a meridian. */
function cut(ring: Ring, meridian: number, side: 1 | -1): Ring {
  const kept: Ring = [];
  for (const [index, [x, y]] of ring.entries()) {
    const [before, beforeY] = ring[(index || ring.length) - 1] as [number, number];
    const inside = (x! - meridian) * side >= 0;
    if (index && inside !== (before - meridian) * side >= 0)
      kept.push([meridian, beforeY + ((y! - beforeY) * (meridian - before)) / (x! - before)]);
    if (inside) kept.push([x!, y!]);
  }
  if (kept.length) kept.push(kept[0]!);
  return kept;
}
