// Uploads one file with tus-js-client; prints {"url", "cap", "sent"} or {"error"}.
//
//   node tus.mjs ENDPOINT FILE OPTIONS
//
// OPTIONS are JSON: those of the client; "stopAt" breaks off behind so many bytes.
import fs from "node:fs";
import { Upload } from "tus-js-client";

const [endpoint, path, text] = process.argv.slice(2);
const { stopAt = Infinity, ...options } = JSON.parse(text);
let cap = null;
let sent = 0;
const end = (what) => {
  console.log(JSON.stringify({ url: upload.url, cap, sent, ...what }));
  process.exit(0);
};
const upload = new Upload(fs.createReadStream(path), {
  endpoint,
  uploadSize: options.uploadLengthDeferred || options.parallelUploads ? null : fs.statSync(path).size,
  chunkSize: 1 << 20,
  retryDelays: [100, 500, 1000, 2000, 4000, 8000],
  metadata: { filename: "a file.bin" },
  ...options,
  onAfterResponse: (request, response) => {
    cap = response.getHeader("Upload-Cap") ?? cap;
  },
  onProgress: (bytes) => {
    sent = bytes;
    if (bytes >= stopAt) upload.abort().then(() => end({}));
  },
  onError: (error) => end({ error: String(error) }),
  onSuccess: () => end({}),
});
upload.start();
