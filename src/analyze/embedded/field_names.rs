//! Names of fields in the results of tools, in one spelling and language.

/// A key in lower case without separators, in English: `isError` and `is_error` are the same, and so are `status`, `estado` and `状态`.
pub(super) fn normalized(key: &str) -> String {
    let key: String = key.chars().filter(|c| !matches!(c, '_' | '-' | ' ' | '.')).flat_map(char::to_lowercase).collect();
    in_english(&key).map_or(key, str::to_owned)
}

/// The English word for a field of an envelope in another language.
fn in_english(key: &str) -> Option<&'static str> {
    Some(match key {
        "estado" | "estatus" | "situacao" | "situação" | "statut" | "etat" | "état" | "zustand" | "stato" | "durum" | "状态" | "狀態"
        | "状態" | "ステータス" | "상태" | "статус" | "состояние" => "status",
        "resultado" | "resultat" | "résultat" | "ergebnis" | "risultato" | "esito" | "wynik" | "sonuç" | "sonuc" | "结果" | "結果"
        | "결과" | "результат" => "result",
        "mensagem"
        | "mensaje"
        | "meldung"
        | "nachricht"
        | "fehlermeldung"
        | "messaggio"
        | "komunikat"
        | "mesaj"
        | "meddelande"
        | "melding"
        | "消息"
        | "訊息"
        | "信息"
        | "错误信息"
        | "错误消息"
        | "メッセージ"
        | "エラーメッセージ"
        | "메시지"
        | "сообщение" => "message",
        "detalle" | "detalhe" | "détail" | "dettaglio" | "einzelheiten" | "详情" | "詳細" | "상세" | "подробности" => {
            "detail"
        }
        "motivo" | "razon" | "razón" | "razao" | "razão" | "raison" | "grund" | "ursache" | "原因" | "理由" | "이유" | "причина" => {
            "reason"
        }
        "erro" | "erreur" | "fehler" | "errore" | "fout" | "błąd" | "hata" | "错误" | "錯誤" | "エラー" | "오류" | "ошибка" => {
            "error"
        }
        "codigo" | "código" | "kod" | "代码" | "状态码" | "错误码" | "コード" | "エラーコード" | "코드" | "код" => {
            "code"
        }
        "exito" | "éxito" | "sucesso" | "succès" | "succes" | "erfolg" | "erfolgreich" | "successo" | "成功" | "성공" | "успех"
        | "успешно" => "success",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_one_name_in_every_spelling_and_language() {
        for (key, name) in [
            ("isError", "iserror"),
            ("is_error", "iserror"),
            ("Estado", "status"),
            ("状态", "status"),
            ("error-message", "errormessage"),
            ("錯誤", "error"),
        ] {
            assert_eq!(normalized(key), name, "{key}");
        }
    }
}
