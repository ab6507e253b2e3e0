// BullMQ, speaking the protocol of bench/peers/play.py: finished jobs are removed at once.
//
// Time, counts and stamps mean the same as there: a file of two 64-bit numbers a process and kind,
// how many ran and when the last one began, on the same monotonic clock as Python's.

import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import { setTimeout as nap } from 'node:timers/promises';
import { createRequire } from 'node:module';

const require = createRequire(path.join(import.meta.dirname, '..', '.node', 'package.json'));
const { Queue, Worker } = require('bullmq');

const NAP_MS = 20;
const SPIN_NS = 1_000_000n;
const SENDERS = 100;
const BATCH = 1000;

const order = JSON.parse(process.argv[2]);
const connection = {
  path: order.url.replace('unix://', '').split('?')[0],
  maxRetriesPerRequest: null,
};
const nowNs = () => process.hrtime.bigint();
const say = (said, facts = {}) => process.stdout.write(JSON.stringify({ said, ...facts }) + '\n');

const lines = readline.createInterface({ input: process.stdin });
const told = () => new Promise((resolve) => lines.once('line', resolve));

function tally(name) {
  const file = fs.openSync(path.join(order.folder, `${name}.${process.pid}`), 'w+');
  const numbers = new BigInt64Array(2);
  fs.writeSync(file, numbers, 0, 16, 0);
  return () => {
    numbers[0] += 1n;
    numbers[1] = nowNs();
    fs.writeSync(file, numbers, 0, 16, 0);
  };
}

async function work() {
  const ran = tally('ran');
  const ranUrgent = tally('urgent');
  const stamps = [];
  const bodies = {
    noop: async () => ran(),
    nap: async () => {
      await nap(NAP_MS);
      ran();
    },
    stamp: async (job) => {
      const due = BigInt(job.data.dueNs);
      stamps.push([Number(due), Number(nowNs() - due)]);
      ran();
    },
    spin: async (job) => {
      const end = nowNs() + SPIN_NS;
      while (nowNs() < end);
      (job.data.urgent ? ranUrgent : ran)();
    },
  };
  say('ready', { pid: process.pid });
  await told();
  lines.on('line', () => say('stamped', { stamps }));
  const worker = new Worker('bench', (job) => bodies[job.name](job), {
    connection,
    concurrency: order.concurrency,
    removeOnComplete: { count: 0 },
    removeOnFail: { count: 0 },
  });
  worker.on('error', (error) => process.stderr.write(`${error.stack}\n`));
}

async function send() {
  const queue = new Queue('bench', { connection });
  const add = (data, options) => queue.add(order.task, data, options);
  const spins = order.task === 'spin';
  const first = () => add(spins ? { urgent: false } : {}, spins ? { priority: 10 } : {});
  const data = spins ? { urgent: order.urgent ?? false } : {};
  const options = spins ? { priority: order.urgent ? 1 : 10 } : {};
  const one = (own = data) => add(own, options);
  await queue.waitUntilReady();
  if (order.how === 'arrivals') {
    say('ready');
    await told();
    await arrive(one);
    say('sent');
    return;
  }
  for (let number = 0; number < order.warm; number += 1) await first();
  say('ready');
  await told();
  const beganNs = nowNs();
  const cpuBegan = process.cpuUsage();
  const repeat = async (times) => {
    for (let number = 0; number < times; number += 1) await one();
  };
  if (order.how === 'bulk') {
    for (let first = 0; first < order.count; first += BATCH) {
      const batch = Math.min(BATCH, order.count - first);
      await queue.addBulk(Array.from({ length: batch }, () => ({ name: order.task, data })));
    }
  } else if (order.how === 'together') {
    const each = Math.floor(order.count / SENDERS);
    await Promise.all(Array.from({ length: SENDERS }, () => repeat(each)));
  } else {
    await repeat(order.count);
  }
  const seconds = Number(nowNs() - beganNs) / 1e9;
  const cpu = process.cpuUsage(cpuBegan);
  say('sent', {
    began_ns: Number(beganNs),
    seconds,
    cpu_seconds: (cpu.user + cpu.system) / 1e6,
  });
}

async function arrive(one) {
  const gapNs = 1e9 / order.rate;
  const startNs = nowNs() + 50_000_000n;
  const sends = [];
  for (let number = 0; number < order.count; number += 1) {
    const dueNs = startNs + BigInt(Math.round(number * gapNs));
    while (nowNs() < dueNs) await nap(Number(dueNs - nowNs()) > 2e6 ? 1 : 0);
    sends.push(one({ dueNs: String(dueNs) }));
  }
  await Promise.all(sends);
}

await (order.what === 'work' ? work() : send());
if (order.what === 'send') process.exit(0);
