// verify SECRET ID TIMESTAMP SIGNATURE < body: ends with 0 if the request is genuine, else 1.
use std::{env, error::Error, io, io::Read};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let mut headers = http::HeaderMap::new();
    for (name, value) in ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .into_iter()
        .zip(&arguments[1..])
    {
        headers.insert(name, value.parse()?);
    }
    let mut body = Vec::new();
    io::stdin().read_to_end(&mut body)?;
    standardwebhooks::Webhook::new(&arguments[0])?.verify(&body, &headers)?;
    Ok(())
}
