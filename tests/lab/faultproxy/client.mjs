// npm's toxiproxy-node-client, unchanged, against the server given as the first argument.
// The second argument is where the package is installed.
import { strict as assert } from "node:assert";
import { createRequire } from "node:module";

const { Toxiproxy } = createRequire(`${process.argv[3]}/`)("toxiproxy-node-client");
const toxiproxy = new Toxiproxy(process.argv[2]);

const toxics = {
  latency: { latency: 100, jitter: 10 },
  bandwidth: { rate: 100 },
  slow_close: { delay: 100 },
  timeout: { timeout: 100 },
  slicer: { average_size: 10, size_variation: 5, delay: 100 },
  limit_data: { bytes: 100 },
  reset_peer: { timeout: 100 },
};

assert.match(await toxiproxy.getVersion(), /"2\.13\.0"/);

const made = await toxiproxy.createProxy({ name: "one", listen: "127.0.0.1:0", upstream: "127.0.0.1:9" });
assert.equal(made.enabled, true);
assert.match(made.listen, /^127\.0\.0\.1:\d+$/);
await assert.rejects(
  toxiproxy.createProxy({ name: "one", listen: "127.0.0.1:0", upstream: "127.0.0.1:9" }),
  /409/,
);

for (const stream of ["upstream", "downstream"]) {
  for (const [type, attributes] of Object.entries(toxics)) {
    const name = `${type}_${stream}`;
    const added = await made.addToxic({ attributes, name, stream, toxicity: 0.5, type });
    assert.deepEqual(added.toJson(), { attributes, name, stream, toxicity: 0.5, type });
    const found = await made.getToxic(name);
    const changed = await found.update({ ...found.toJson(), toxicity: 1 });
    assert.equal(changed.toxicity, 1);
    await changed.remove();
    await assert.rejects(made.getToxic(name), /404/);
  }
}

const disabled = await made.update({ enabled: false, listen: made.listen, upstream: "127.0.0.1:8" });
assert.equal(disabled.enabled, false);
await toxiproxy.reset();
assert.equal((await toxiproxy.get("one")).enabled, true);

const populated = await toxiproxy.populate([
  { name: "one", listen: made.listen, upstream: "127.0.0.1:8" },
  { name: "two", listen: "127.0.0.1:0", upstream: "127.0.0.1:9", enabled: false },
]);
assert.deepEqual(Object.keys(populated), ["one", "two"]);
assert.deepEqual(Object.keys(await toxiproxy.getAll()), ["one", "two"]);
for (const proxy of Object.values(await toxiproxy.getAll())) {
  await proxy.remove();
}
assert.deepEqual(await toxiproxy.getAll(), {});
console.log("all is well");
