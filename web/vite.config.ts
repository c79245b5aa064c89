import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig, loadEnv, type Plugin } from "vite";

/** What the built pages may load: their own origin, and nothing else. */
const policy =
  "default-src 'self'; style-src 'self'; img-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'";

const contentPolicy: Plugin = {
  name: "content-policy",
  apply: "build",
  transformIndexHtml: () => [
    { tag: "meta", attrs: { "http-equiv": "Content-Security-Policy", content: policy }, injectTo: "head-prepend" },
  ],
};

/** `CARCLOUD_URL` says which zone the development server shows. */
export default defineConfig(({ mode }) => ({
  base: "./",
  plugins: [svelte(), contentPolicy],
  server: { proxy: { "/v1": loadEnv(mode, ".", "CARCLOUD_")["CARCLOUD_URL"] ?? "" } },
  build: {
    outDir: "../src/carcloud/api/pages",
    emptyOutDir: true,
    target: "es2022",
    chunkSizeWarningLimit: 1200,
    modulePreload: { polyfill: false },
  },
}));
