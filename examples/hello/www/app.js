// Tell the updater that this bundle works; without it, the device goes back to
// the bundle before.
window.Capacitor?.Plugins?.CapacitorUpdater?.notifyAppReady();
document.getElementById("version").textContent = "1.0.0";
