//! TLS to database servers by rustls: `sslmode` and `sslrootcert` in an address mean what they mean to PostgreSQL's own client
//! (libpq, "SSL Support", table 34.1), for MySQL too; `ssl-mode` and `ssl-ca` with MySQL's names are taken as well.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use gyrus_files::read_bounded;
use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes of a file of certificates.
const MOST_BYTES: u64 = 8 << 20;

/// How much TLS must do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// No TLS.
    Disable,
    /// TLS where the server has it, whoever it is.
    #[default]
    Prefer,
    /// TLS, whoever the server is.
    Require,
    /// The server's certificate is signed by an authority that is trusted.
    VerifyCa,
    /// It is also for the server's name.
    VerifyFull,
}

/// What an address asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tls {
    pub(super) mode: Mode,
    /// Certificates of authorities, in PEM; none for those of the system.
    pub(super) root: Option<PathBuf>,
}

impl Tls {
    /// An address without its options of TLS, and what they ask for.
    ///
    /// # Errors
    /// A mode that does not exist, with those that do.
    pub(super) fn split(address: &str) -> Result<(String, Self), String> {
        let mut tls = Self::default();
        let Some((plain, options)) = address.split_once('?') else { return Ok((address.to_owned(), tls)) };
        let mut kept = Vec::new();
        for option in options.split('&') {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name.to_ascii_lowercase().replace('_', "-").as_str() {
                "sslmode" | "ssl-mode" => tls.mode = Mode::of(value)?,
                "sslrootcert" | "ssl-ca" => tls.root = Some(PathBuf::from(decoded(value))),
                _ => kept.push(option),
            }
        }
        if tls.root.is_some() && tls.mode == Mode::Require {
            tls.mode = Mode::VerifyCa;
        }
        let kept = kept.join("&");
        Ok((if kept.is_empty() { plain.to_owned() } else { format!("{plain}?{kept}") }, tls))
    }

    /// Whether the server's certificate counts.
    pub(super) fn verifies(&self) -> bool {
        matches!(self.mode, Mode::VerifyCa | Mode::VerifyFull)
    }

    /// A connector for PostgreSQL.
    pub(super) fn connector(&self) -> Result<Connector, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let said = |error: rustls::Error| error.to_string();
        let known: Option<Arc<dyn ServerCertVerifier>> = match (self.verifies(), &self.root) {
            (false, _) => None,
            (true, None) => {
                Some(Arc::new(rustls_platform_verifier::Verifier::new(provider.clone()).map_err(said)?))
            }
            (true, Some(path)) => {
                let wrong = |reason: String| format!("sslrootcert {}: {reason}", path.display());
                let bytes = read_bounded(path, MOST_BYTES).map_err(|error| wrong(error.to_string()))?;
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(&bytes) {
                    let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                    roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(wrong("no certificate; expected PEM".to_owned()));
                }
                let built =
                    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
                Some(built.map_err(|error| wrong(error.to_string()))?)
            }
        };
        let verifier =
            Verifier { known, provider: provider.clone(), needs_name: self.mode == Mode::VerifyFull };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(said)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Connector(Arc::new(config)))
    }
}

impl Mode {
    fn of(text: &str) -> Result<Self, String> {
        Ok(match text.to_ascii_lowercase().replace('_', "-").as_str() {
            "disable" | "disabled" => Self::Disable,
            "prefer" | "preferred" | "allow" => Self::Prefer,
            "require" | "required" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" | "verify-identity" => Self::VerifyFull,
            _ => {
                return Err(format!(
                    "sslmode={text}; expected disable, prefer, require, verify-ca or verify-full"
                ));
            }
        })
    }
}

/// The text behind %XX.
fn decoded(text: &str) -> String {
    let (mut bytes, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let code = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (text.as_bytes()[at], code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                at += 3;
            }
            (byte, _) => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Checks certificates as far as the mode asks; signatures of the handshake always.
#[derive(Debug)]
struct Verifier {
    known: Option<Arc<dyn ServerCertVerifier>>,
    provider: Arc<CryptoProvider>,
    needs_name: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(known) = &self.known else { return Ok(ServerCertVerified::assertion()) };
        match known.verify_server_cert(own, between, name, ocsp, now) {
            // The name is looked at last.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.needs_name => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Makes connections to one server after another.
#[derive(Clone)]
pub(super) struct Connector(Arc<ClientConfig>);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Connector {
    type Stream = Secured<S>;
    type TlsConnect = ToServer;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<ToServer> {
        // A socket in the file system has no name, and no TLS.
        let name = ServerName::try_from(domain).ok().map(|name| name.to_owned());
        Ok(ToServer { config: self.0.clone(), name })
    }
}

/// Makes a connection to one server.
pub(super) struct ToServer {
    config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for ToServer {
    type Stream = Secured<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Secured<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let name =
                self.name.ok_or_else(|| io::Error::other("the server's name is none of a certificate"))?;
            let connected = tokio_rustls::TlsConnector::from(self.config).connect(name, stream).await;
            connected.map(Secured)
        })
    }
}

/// A connection under TLS.
pub(super) struct Secured<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Secured<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Secured<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Secured<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_tls_are_taken_out_of_an_address() {
        let split = |address: &str| Tls::split(address);
        let (rest, tls) = split("postgres://u@h/d?sslmode=verify-full&sslrootcert=%2Fa%20b&user=x").unwrap();
        assert_eq!(rest, "postgres://u@h/d?user=x");
        assert_eq!(tls, Tls { mode: Mode::VerifyFull, root: Some("/a b".into()) });
        let (rest, tls) = split("mysql://u@h/d?ssl-mode=REQUIRED").unwrap();
        assert_eq!((rest.as_str(), tls.mode), ("mysql://u@h/d", Mode::Require));
        assert_eq!(split("mysql://h/d?ssl_mode=required&ssl-ca=x").unwrap().1.mode, Mode::VerifyCa);
        assert_eq!(split("mysql://h/d").unwrap().1, Tls::default());
        assert!(split("mysql://h/d?sslmode=full").unwrap_err().contains("verify-full"));
        assert_eq!(decoded("%zz%4"), "%zz%4");
    }
}
