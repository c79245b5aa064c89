/** The offline map: land of Natural Earth, a grid, the zone's roads, and the layers of the fleet. */
import type { ExpressionSpecification, StyleSpecification } from "maplibre-gl";

const NOTHING = { type: "FeatureCollection" as const, features: [] };
const token = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Wide roads are those that a map's `class`, `highway` or `kind` calls main. */
const MAIN: ExpressionSpecification = [
  "in",
  ["coalesce", ["get", "class"], ["get", "highway"], ["get", "kind"], ""],
  ["literal", ["motorway", "trunk", "primary", "secondary", "arterial", "main", "ring", "avenue"]],
];

const width = (scale: number): ExpressionSpecification => [
  "interpolate",
  ["exponential", 1.6],
  ["zoom"],
  9,
  ["*", scale, ["case", MAIN, 1, 0.5]],
  13,
  ["*", scale, ["case", MAIN, 4, 2.4]],
  17,
  ["*", scale, ["case", MAIN, 18, 12]],
];

export function mapStyle(land: GeoJSON.GeoJSON, roads: GeoJSON.FeatureCollection | null): StyleSpecification {
  const fonts = ["sans-serif"];
  return {
    version: 8,
    sources: {
      land: { type: "geojson", data: land, maxzoom: 6, buffer: 16 },
      grid: { type: "geojson", data: NOTHING },
      roads: { type: "geojson", data: roads ?? NOTHING },
      trails: { type: "geojson", data: NOTHING },
      cars: { type: "geojson", data: NOTHING },
    },
    layers: [
      // The land's outline is coarse; near the ground everything is land.
      {
        id: "sea",
        type: "background",
        paint: { "background-color": ["interpolate", ["linear"], ["zoom"], 6, token("--map-sea"), 9, token("--map-land")] },
      },
      { id: "land", type: "fill", source: "land", paint: { "fill-color": token("--map-land") } },
      { id: "grid", type: "line", source: "grid", paint: { "line-color": token("--map-grid"), "line-width": 1 } },
      {
        id: "road-edges",
        type: "line",
        source: "roads",
        layout: { "line-cap": "round", "line-join": "round" },
        paint: { "line-color": token("--map-road-edge"), "line-width": width(1.45) },
      },
      {
        id: "roads",
        type: "line",
        source: "roads",
        layout: { "line-cap": "round", "line-join": "round" },
        paint: { "line-color": token("--map-road"), "line-width": width(1) },
      },
      {
        id: "road-names",
        type: "symbol",
        source: "roads",
        minzoom: 14,
        filter: ["all", ["==", ["geometry-type"], "LineString"], ["has", "name"]],
        layout: { "symbol-placement": "line", "text-field": ["get", "name"], "text-font": fonts, "text-size": 11 },
        paint: { "text-color": token("--muted"), "text-halo-color": token("--map-road"), "text-halo-width": 1.5 },
      },
      {
        id: "places",
        type: "circle",
        source: "roads",
        filter: ["==", ["geometry-type"], "Point"],
        paint: {
          "circle-radius": ["interpolate", ["linear"], ["zoom"], 10, 2, 15, 6],
          "circle-color": token("--map-road"),
          "circle-stroke-color": token("--muted"),
          "circle-stroke-width": 1.5,
        },
      },
      {
        id: "place-names",
        type: "symbol",
        source: "roads",
        minzoom: 13,
        filter: ["==", ["geometry-type"], "Point"],
        layout: { "text-field": ["get", "name"], "text-font": fonts, "text-size": 11.5, "text-offset": [0, -1.4] },
        paint: { "text-color": token("--muted"), "text-halo-color": token("--map-land"), "text-halo-width": 1.6 },
      },
      {
        id: "trails",
        type: "line",
        source: "trails",
        layout: { "line-cap": "round", "line-join": "round" },
        paint: { "line-color": ["get", "colour"], "line-width": 3, "line-opacity": 0.4 },
      },
      {
        id: "chosen",
        type: "circle",
        source: "cars",
        filter: ["==", ["get", "id"], ""],
        paint: {
          "circle-radius": 19,
          "circle-color": token("--accent"),
          "circle-opacity": 0.16,
          "circle-stroke-color": token("--accent"),
          "circle-stroke-width": 2,
        },
      },
      {
        id: "cars",
        type: "symbol",
        source: "cars",
        layout: {
          "icon-image": ["get", "icon"],
          "icon-rotate": ["get", "heading"],
          "icon-rotation-alignment": "map",
          "icon-allow-overlap": true,
          "icon-ignore-placement": true,
          "icon-size": ["interpolate", ["linear"], ["zoom"], 3, 0.45, 11, 0.75, 15, 1.1],
        },
      },
      {
        id: "car-names",
        type: "symbol",
        source: "cars",
        minzoom: 12.5,
        layout: {
          "text-field": ["get", "label"],
          "text-font": fonts,
          "text-size": 11.5,
          "text-offset": [0, 1.5],
          "text-anchor": "top",
          "text-optional": true,
        },
        paint: { "text-color": token("--map-label"), "text-halo-color": token("--map-land"), "text-halo-width": 1.6 },
      },
    ],
  };
}

/** Lines of latitude and longitude over a view, at a round spacing that gives about eight of them. */
export function gridLines(west: number, south: number, east: number, north: number): GeoJSON.FeatureCollection {
  const rough = (east - west) / 8;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough) ?? power * 10;
  const lines: GeoJSON.Position[][] = [];
  for (let x = Math.floor(west / step) * step; x <= east; x += step) lines.push([[x, Math.max(south, -85)], [x, Math.min(north, 85)]]);
  for (let y = Math.floor(south / step) * step; y <= north; y += step) if (Math.abs(y) < 85) lines.push([[west, y], [east, y]]);
  return {
    type: "FeatureCollection",
    features: [{ type: "Feature", properties: {}, geometry: { type: "MultiLineString", coordinates: lines } }],
  };
}
