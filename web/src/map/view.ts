/** The drawn map: MapLibre with the offline style, fed with the fleet many times a second. */
import { LngLatBounds, Map as GlMap, NavigationControl, ScaleControl, setWorkerUrl, type GeoJSONSource } from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?url";
import "maplibre-gl/dist/maplibre-gl.css";
import { arrow, colourKey, COLOURS, type ColourBy } from "./colours";
import { doing, type Car, type Fleet, type Point } from "./fleet";
import { readLand } from "./land";
import { gridLines, mapStyle } from "./style";

setWorkerUrl(workerUrl);

const TRAILS_MS = 1000;
const LABELLED_FLEET = 400;
const NARROW_PX = 500;

export interface Look {
  by: ColourBy;
  trails: boolean;
  chosen: string | null;
}

export class View {
  #gl: GlMap;
  #frame = 0;
  #drawnAt = 0;
  #trailsAt = 0;
  look: Look = { by: "charge", trails: true, chosen: null };

  private constructor(
    box: HTMLElement,
    land: GeoJSON.GeoJSON,
    private readonly roads: GeoJSON.FeatureCollection | null,
    private readonly fleet: Fleet,
    title: string,
  ) {
    this.#gl = new GlMap({
      container: box,
      style: mapStyle(land, roads),
      attributionControl: false,
      center: [20, 25],
      zoom: 1.2,
      maxZoom: 19,
      dragRotate: false,
      pitchWithRotate: false,
      fadeDuration: 0,
      locale: { "Map.Title": title },
    });
    this.#gl.touchZoomRotate.disableRotation();
    this.#gl.addControl(new NavigationControl({ showCompass: false }), "bottom-right");
    this.#gl.addControl(new ScaleControl({ maxWidth: 120 }), "bottom-left");
  }

  /** Draw the map into a box and begin to follow the fleet; `onChoose` hears which vehicle is pressed. */
  static async open(
    box: HTMLElement,
    roads: GeoJSON.FeatureCollection | null,
    fleet: Fleet,
    title: string,
    onChoose: (vehicle: string | null) => void,
  ): Promise<View> {
    const view = new View(box, await readLand(), roads, fleet, title);
    await view.#gl.once("load");
    view.#addArrows();
    view.#listen(onChoose);
    view.#tick();
    return view;
  }

  close(): void {
    cancelAnimationFrame(this.#frame);
    this.#gl.remove();
  }

  /** Show all vehicles that have a position; where the roads hold them all, or there are none, show the roads. */
  fit(animate = true): void {
    const points = [...this.fleet.cars.values()].flatMap((car) => (car.to ? [car.to] : []));
    const roads = boundsOf(roadPoints(this.roads));
    const bounds = roads && points.every((point) => roads.contains(point)) ? roads : boundsOf(points);
    if (!bounds) return;
    this.#gl.fitBounds(bounds, { padding: 56, maxZoom: 16, animate, duration: 700 });
  }

  /** Bring one vehicle to the middle. */
  show(car: Car): void {
    // On a phone the vehicle's card lies over the lower part of the map.
    const offset: [number, number] = this.#gl.getContainer().clientWidth < NARROW_PX ? [0, -90] : [0, 0];
    if (car.to) this.#gl.easeTo({ center: car.to, zoom: Math.max(this.#gl.getZoom(), 14), duration: 600, offset });
  }

  #addArrows(): void {
    const rim = getComputedStyle(document.documentElement).getPropertyValue("--surface").trim();
    const pixelRatio = Math.max(2, devicePixelRatio);
    for (const [key, colour] of Object.entries(COLOURS)) this.#gl.addImage(key, arrow(colour, rim, pixelRatio), { pixelRatio });
  }

  #listen(onChoose: (vehicle: string | null) => void): void {
    const gl = this.#gl;
    const near = (point: { x: number; y: number }) =>
      gl.queryRenderedFeatures([[point.x - 8, point.y - 8], [point.x + 8, point.y + 8]], { layers: ["cars"] })[0];
    gl.on("click", (event) => onChoose((near(event.point)?.properties["id"] as string | undefined) ?? null));
    gl.on("mousemove", (event) => (gl.getCanvas().style.cursor = near(event.point) ? "pointer" : ""));
    gl.on("moveend", () => this.#drawGrid());
    this.#drawGrid();
  }

  #drawGrid(): void {
    const bounds = this.#gl.getBounds();
    const lines = gridLines(bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth());
    void this.#source("grid").setData(lines);
  }

  #source(name: string): GeoJSONSource {
    return this.#gl.getSource<GeoJSONSource>(name)!;
  }

  #tick = (): void => {
    this.#frame = requestAnimationFrame(this.#tick);
    const now = performance.now();
    // Large fleets are drawn less often, so that moving the map stays smooth.
    if (now - this.#drawnAt < Math.min(500, 40 + this.fleet.cars.size * 0.2)) return;
    // New data before the last is laid out would throw that work away: a slow machine would never show a vehicle.
    if (!this.#gl.areTilesLoaded()) return;
    this.#drawnAt = now;
    this.#drawCars(now);
    if (now - this.#trailsAt < TRAILS_MS) return;
    this.#trailsAt = now;
    this.#drawTrails(now);
  };

  #drawCars(now: number): void {
    const wall = Date.now();
    const features: GeoJSON.Feature[] = [];
    for (const car of this.fleet.cars.values()) {
      const at = this.fleet.place(car, now);
      if (!at) continue;
      const icon = colourKey(car, this.look.by, doing(car, wall) === "silent");
      features.push({
        type: "Feature",
        geometry: { type: "Point", coordinates: at },
        properties: { id: car.id, icon, heading: car.heading, label: car.label },
      });
    }
    void this.#source("cars").setData({ type: "FeatureCollection", features });
    this.#gl.setFilter("chosen", ["==", ["get", "id"], this.look.chosen ?? ""]);
    this.#gl.setLayoutProperty("car-names", "visibility", features.length > LABELLED_FLEET ? "none" : "visible");
  }

  #drawTrails(now: number): void {
    const wall = Date.now();
    const features: GeoJSON.Feature[] = [];
    for (const car of this.look.trails ? this.fleet.cars.values() : []) {
      const at = this.fleet.place(car, now);
      if (!at || car.trail.length < 2) continue;
      const colour = COLOURS[colourKey(car, this.look.by, doing(car, wall) === "silent")];
      features.push({ type: "Feature", geometry: { type: "LineString", coordinates: car.trail }, properties: { colour } });
    }
    void this.#source("trails").setData({ type: "FeatureCollection", features });
  }
}

function boundsOf(points: Point[]): LngLatBounds | null {
  const first = points[0];
  return first ? points.reduce((all, point) => all.extend(point), new LngLatBounds(first, first)) : null;
}

function roadPoints(roads: GeoJSON.FeatureCollection | null): Point[] {
  return (roads?.features ?? []).flatMap(({ geometry }) => {
    if (geometry.type === "LineString") return geometry.coordinates as Point[];
    if (geometry.type === "MultiLineString") return geometry.coordinates.flat() as Point[];
    return [];
  });
}
