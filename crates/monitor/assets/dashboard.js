// Keeps a page live. Without it every page works, and is as old as its last load.
"use strict";
