// Uploads a file as somebody else's program would, resuming by itself: node upload.cjs ENDPOINT FILE CHUNK_BYTES
// The token is read from standard input: a command line can be read by every user of a machine.
const fs = require("node:fs");
const tus = require("tus-js-client");

const [endpoint, path, chunk] = process.argv.slice(2);
const token = fs.readFileSync(0, "utf8");
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
