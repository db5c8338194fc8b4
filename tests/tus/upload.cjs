// Uploads a file as somebody else's program would, resuming by itself: node upload.cjs ENDPOINT TOKEN FILE CHUNK_BYTES
const fs = require("node:fs");
const tus = require("tus-js-client");

const [endpoint, token, path, chunk] = process.argv.slice(2);
const upload = new tus.Upload(fs.createReadStream(path), {
  endpoint,
  headers: { Authorization: `Bearer ${token}` },
  chunkSize: Number(chunk),
  uploadSize: fs.statSync(path).size,
  metadata: { filename: "clip.mp4", title: "by tus-js-client" },
  retryDelays: Array(60).fill(300),
  onProgress: (sent) => console.log(`sent ${sent}`),
  onShouldRetry: () => true,
  onError: (error) => {
    console.error(String(error));
    process.exit(1);
  },
  onSuccess: () => {
    console.log(`done ${upload.url}`);
  },
});
upload.start();
