// Chooses the browser's own time zone in a form that has not been sent yet. Without script the form says UTC.
"use strict";
for (const field of document.querySelectorAll("select[data-guess-zone]")) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (field.value === "UTC" && [...field.options].some((option) => option.value === zone)) field.value = zone;
}
