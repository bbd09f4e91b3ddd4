//! Backends that break one clause of the contract each, to show that the suite notices.
//!
//! A [`Saboteur`] stands around a real backend and passes everything on, save for what its
//! [`Sabotage`] changes: the configuration on its way in, the descriptor, or what the calls of a
//! session give.

mod context;
mod hooks;
mod list;
mod session;

use std::sync::{Arc, Mutex};

use tls_core::{
    BuildInfo, Capabilities, ClientConfig, DynBackend, DynContext, Feature, Result, ServerConfig,
    SessionOptions,
};

use context::SabotagedContext;
pub(crate) use hooks::Hook;
pub(crate) use list::all;

/// One way to break a clause.
pub(crate) struct Sabotage {
    /// The clause that is broken.
    pub(crate) clause: &'static str,
    /// How, in a few words.
    pub(crate) what: &'static str,
    /// Without these features of the backend there is nothing to break.
    pub(crate) requires: &'static [Feature],
    /// The one case that can notice, where a backend may be known to fail just that one.
    pub(crate) only_case: Option<&'static str>,
    capabilities: fn(&mut Capabilities),
    client: fn(&dyn DynBackend, ClientConfig) -> Result<Box<dyn DynContext>>,
    server: fn(&dyn DynBackend, ServerConfig) -> Result<Box<dyn DynContext>>,
    options: fn(&mut SessionOptions),
    descriptor: context::DescriptorHook,
    hook: fn() -> Box<dyn Hook>,
    one_server_context: bool,
    context_drop_matters: bool,
}

impl Sabotage {
    /// Breaks nothing.
    const fn new(clause: &'static str, what: &'static str) -> Self {
        Self {
            clause,
            what,
            requires: &[],
            only_case: None,
            capabilities: |_| {},
            client: |backend, config| backend.client(config),
            server: |backend, config| backend.server(config),
            options: |_| {},
            descriptor: context::DescriptorHook::Pass,
            hook: || Box::new(hooks::Honest),
            one_server_context: false,
            context_drop_matters: false,
        }
    }
}

/// A backend that breaks one clause.
pub(crate) struct Saboteur {
    backend: Arc<dyn DynBackend>,
    sabotage: &'static Sabotage,
    capabilities: Capabilities,
    first_server: Mutex<Option<Box<dyn DynContext>>>,
}

impl Saboteur {
    /// Puts a saboteur around a backend.
    pub(crate) fn new(backend: Arc<dyn DynBackend>, sabotage: &'static Sabotage) -> Self {
        let mut capabilities = backend.capabilities().clone();
        (sabotage.capabilities)(&mut capabilities);
        Self {
            backend,
            sabotage,
            capabilities,
            first_server: Mutex::new(None),
        }
    }

    /// The context made first, whatever is asked for later.
    fn server_context(&self, config: ServerConfig) -> Result<Box<dyn DynContext>> {
        let context = (self.sabotage.server)(&*self.backend, config)?;
        if !self.sabotage.one_server_context {
            return Ok(context);
        }
        let mut first = self
            .first_server
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(first.get_or_insert(context).clone_context())
    }
}

impl DynBackend for Saboteur {
    fn name(&self) -> &'static str {
        self.backend.name()
    }

    fn build_info(&self) -> BuildInfo {
        self.backend.build_info()
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn client(&self, config: ClientConfig) -> Result<Box<dyn DynContext>> {
        let context = (self.sabotage.client)(&*self.backend, config)?;
        Ok(Box::new(SabotagedContext::new(context, self.sabotage)))
    }

    fn server(&self, config: ServerConfig) -> Result<Box<dyn DynContext>> {
        let context = self.server_context(config)?;
        Ok(Box::new(SabotagedContext::new(context, self.sabotage)))
    }

    fn deferred_server(&self) -> Result<Box<dyn DynContext>> {
        let context = self.backend.deferred_server()?;
        Ok(Box::new(SabotagedContext::new(context, self.sabotage)))
    }
}
