/* What a passkey's ceremony fails with, said in the page; the ceremony itself is allauth's. */
"use strict";

const REASONS = {
  NotAllowedError: "The browser gave no passkey: it was cancelled, took too long, or there is none for this site.",
  InvalidStateError: "This device has a passkey of this account already.",
  SecurityError: "Passkeys work at the product’s own address and over HTTPS only.",
};

document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  const reason = REASONS[event.detail.exception?.name] ?? "This browser could not use a passkey.";
  const problem = document.getElementById("passkey-problem").content.cloneNode(true);
  problem.querySelector(".text").textContent = `${reason} Nothing was changed.`;
  document.querySelector("[data-passkey-problem]").replaceChildren(problem);
});
