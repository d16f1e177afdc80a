//! The attribute macro of `xnovu-sdk`.
//!
//! Owns the step from an implementation of `Rules` to a component: it fills in the types the author left out and exports the
//! rule. Never changes a method, so what the author's native tests call is what runs in the host.

use proc_macro::TokenStream;
use quote::quote;
use syn::{Error, ImplItem, ItemImpl, Path, Type, parse_quote};

/// Makes an `impl Rules for X` the rules of this component. `X` is a unit struct (`struct X;`): rules have no state, because every
/// event meets a fresh instance.
///
/// `type Config` and `type Payload` may be left out; they are `serde_json::Value` then.
#[proc_macro_attribute]
pub fn rules(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments.into(), item.into()).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(
    arguments: proc_macro2::TokenStream,
    item: proc_macro2::TokenStream,
) -> syn::Result<proc_macro2::TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "`rules` takes no arguments"));
    }
    let mut implementation: ItemImpl = syn::parse2(item)?;
    let rules = exported_type(&implementation)?;
    for name in ["Config", "Payload"] {
        fill_in(&mut implementation, name);
    }
    Ok(quote! {
        #implementation

        impl ::xnovu_sdk::__private::Unit for #rules {
            const RULES: Self = #rules;
        }

        #[cfg(target_arch = "wasm32")]
        ::xnovu_sdk::__export!(#rules);

        // Nothing calls the rules in a native build, and still they are not dead code.
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = ::xnovu_sdk::__private::alive::<#rules>();
    })
}

/// The name of the type the rules are implemented for.
fn exported_type(implementation: &ItemImpl) -> syn::Result<Path> {
    let named = implementation.trait_.as_ref().and_then(|(path, _)| path.segments.last());
    if named.is_none_or(|segment| segment.ident != "Rules") {
        return Err(Error::new_spanned(&implementation.self_ty, "`rules` stands on an `impl Rules for ...`"));
    }
    if !implementation.generics.params.is_empty() {
        return Err(Error::new_spanned(&implementation.generics, "a component has one rule, so it cannot be generic"));
    }
    match &*implementation.self_ty {
        Type::Path(named) if named.qself.is_none() => Ok(named.path.clone()),
        other => Err(Error::new_spanned(other, "rules are implemented for a unit struct, `struct Name;`")),
    }
}

fn fill_in(implementation: &mut ItemImpl, name: &str) {
    let given = implementation.items.iter().any(|item| matches!(item, ImplItem::Type(given) if given.ident == name));
    if !given {
        let name = syn::Ident::new(name, proc_macro2::Span::call_site());
        implementation.items.insert(0, parse_quote!(type #name = ::xnovu_sdk::__private::Value;));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(item: proc_macro2::TokenStream) -> String {
        expand(proc_macro2::TokenStream::new(), item).unwrap().to_string()
    }

    fn refusal(item: proc_macro2::TokenStream) -> String {
        expand(proc_macro2::TokenStream::new(), item).unwrap_err().to_string()
    }

    #[test]
    fn types_left_out_are_filled_in_and_types_given_are_kept() {
        let text = expanded(quote!(impl Rules for Desk { type Config = Settings; }));
        assert!(text.contains("type Payload = :: xnovu_sdk :: __private :: Value"), "{text}");
        assert_eq!(text.matches("type Config").count(), 1, "{text}");
        assert!(text.contains("type Config = Settings"), "{text}");
    }

    #[test]
    fn the_rules_are_exported_by_name() {
        let text = expanded(quote!(impl xnovu_sdk::Rules for desk::Desk {}));
        assert!(text.contains("__export ! (desk :: Desk)"), "{text}");
    }

    #[test]
    fn what_cannot_be_a_component_is_refused_with_the_reason() {
        assert!(refusal(quote!(impl Desk {})).contains("impl Rules for"));
        assert!(refusal(quote!(impl Clone for Desk {})).contains("impl Rules for"));
        assert!(
            refusal(quote!(
                impl<T> Rules for Desk<T> {}
            ))
            .contains("generic")
        );
        assert!(refusal(quote!(impl Rules for (Desk, Desk) {})).contains("unit struct"));
        assert!(expand(quote!(fast), quote!(impl Rules for Desk {})).unwrap_err().to_string().contains("no arguments"));
    }
}
