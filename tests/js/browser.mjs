// A browser that a test drives: each line of the input is {"code", "args"}, and is answered
// with {"result"} or {"error"}.  `page`, `context` and `args` are what the code can use;
// `page.errors` is what the page complained of.
//
//   node browser.mjs CHROMIUM PROFILE_DIRECTORY
import readline from "node:readline";
import { chromium } from "playwright-core";

const [executablePath, profile] = process.argv.slice(2);
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  args: ["--no-sandbox", "--disable-gpu"],
  viewport: { width: 800, height: 900 },
});
const page = context.pages()[0] ?? await context.newPage();
page.errors = [];
page.on("console", (message) => {
  if (message.type() === "error") page.errors.push(message.text());
});
page.on("pageerror", (error) => page.errors.push(String(error)));

const Code = (async () => {}).constructor;
const say = (what) => console.log(JSON.stringify(what));
say({ result: "ready" });
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { code, args } = JSON.parse(line);
  try {
    const result = await new Code("page", "context", "args", code)(page, context, args);
    say({ result: result ?? null });
  } catch (error) {
    say({ error: String(error) });
  }
}
await context.close();
