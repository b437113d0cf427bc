//! Serves one ONNX runtime to `gyrus-bench`: `gyrus-bench-peers tract` or `gyrus-bench-peers rten`; see `../worker.py` for
//! requests and replies.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use rten_tensor::prelude::*;
use serde_json::{Value, json};
use tract_onnx::prelude::*;

/// Runs the network once on its fixed input.
type Step = Box<dyn FnMut() -> Result<()>>;

fn main() -> Result<()> {
    let runtime = std::env::args().nth(1).context("expected tract or rten")?;
    let mut step: Option<Step> = None;
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let reply = match request["cmd"].as_str() {
            Some("exit") => return Ok(()),
            _ => reply(&runtime, &request, &mut step)
                .unwrap_or_else(|error| json!({"ok": false, "error": format!("{error:#}")})),
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{reply}")?;
        out.flush()?;
    }
    Ok(())
}

fn reply(runtime: &str, request: &Value, step: &mut Option<Step>) -> Result<Value> {
    Ok(match request["cmd"].as_str().unwrap_or_default() {
        "choose" => json!({"ok": true, "variant": "", "variants_us": {}}),
        "setup" => {
            let work = request["work"].as_str().context("no work")?;
            let threads = request["threads"].as_u64().context("no threads")? as usize;
            let folder = Path::new(request["file"].as_str().context("no folder of networks")?);
            let mut parts = work.rsplitn(3, '-');
            let batch: usize = parts.next().unwrap_or_default().parse().context("no batch")?;
            let network = parts.nth(1).context("no network")?;
            let path = folder.join(format!("{network}.onnx"));
            let parameters: u64 =
                std::fs::read_to_string(folder.join(format!("{network}.parameters")))?.trim().parse()?;
            let version = match runtime {
                "tract" => {
                    *step = Some(tract(&path, threads, batch)?);
                    "0.23"
                }
                "rten" => {
                    *step = Some(rten(&path, threads, batch)?);
                    "0.27"
                }
                other => bail!("unknown runtime {other}"),
            };
            json!({"ok": true, "parameters": parameters, "version": version})
        }
        "steps" => {
            let step = step.as_mut().context("'steps' before 'setup'")?;
            let count = request["count"].as_u64().context("no count")?;
            let mut times_us = Vec::new();
            for _ in 0..count {
                let start = Instant::now();
                step()?;
                times_us.push(start.elapsed().as_secs_f64() * 1e6);
            }
            json!({"ok": true, "times_us": times_us})
        }
        "memory" => json!({"ok": true, "peak_bytes": peak_bytes()?}),
        other => bail!("unknown command {other}"),
    })
}

/// Numbers between -1 and 1.
fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 7919 % 2003) as f32 / 1001.0 - 1.0).collect()
}

fn tract(path: &Path, threads: usize, batch: usize) -> Result<Step> {
    use tract_linalg::multithread::{Executor, set_default_executor};
    set_default_executor(Executor::multithread(threads));
    let model = tract_onnx::onnx()
        .model_for_path(path)?
        .with_input_fact(0, f32::fact([batch, 3, 224, 224]).into())?
        .into_optimized()?
        .into_runnable()?;
    let input = Tensor::from_shape(&[batch, 3, 224, 224], &values(batch * 3 * 224 * 224))?;
    Ok(Box::new(move || {
        std::hint::black_box(model.run(tvec!(input.clone().into()))?);
        Ok(())
    }))
}

fn rten(path: &Path, threads: usize, batch: usize) -> Result<Step> {
    // SAFETY: the process has one thread so far; the runtime reads this when it makes its own.
    unsafe { std::env::set_var("RTEN_NUM_THREADS", threads.to_string()) };
    let model = rten::Model::load_file(path).map_err(|error| anyhow!("{error}"))?;
    let input = rten_tensor::Tensor::from_data(&[batch, 3, 224, 224], values(batch * 3 * 224 * 224));
    Ok(Box::new(move || {
        std::hint::black_box(model.run_one(input.view().into(), None).map_err(|error| anyhow!("{error}"))?);
        Ok(())
    }))
}

/// The largest resident size so far.
fn peak_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("no VmHWM")?;
    let kibibytes: u64 = line.split_whitespace().nth(1).context("no size")?.parse()?;
    Ok(kibibytes * 1024)
}
