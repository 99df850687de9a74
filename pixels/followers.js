(function(u,s){
// u: images, s: scripts. Consent macros are filled from this script's own address; what is ours gets its consent along.
var c=document.currentScript,b=c?c.src:"",q=new URLSearchParams(b.split("?").slice(1).join("?")),
n={GDPR:"gdpr",GDPR_CONSENT:"gdpr_consent",GPP_STRING:"gpp",GPP_SID:"gpp_sid",US_PRIVACY:"us_privacy"};
function v(k){var t=q.get(k)||"";return/^(\[.*\]|\{\{.*\}\}|\$\{.*\})$/.test(t)?"":encodeURIComponent(t)}
function f(a){
if(a[0]!="/")return a.replace(/\$\{([A-Z_]+?)(_\d+)?\}/g,function(m,k){return n[k]?v(n[k]):m});
if(!b)return"";
for(var k in n)if(v(n[k]))a+="&"+n[k]+"="+v(n[k]);
return new URL(a,b).href}
u.map(f).forEach(function(a){if(a)new Image().src=a});
(s||[]).map(f).forEach(function(a){if(!a)return;var e=document.createElement("script");e.async=true;e.src=a;
document.head.appendChild(e)})
})(
